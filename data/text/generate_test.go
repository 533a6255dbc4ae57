package text

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// grammar reads sentences as Generate says that it writes them, and finds words that do not
// agree.
type grammar struct {
	words  []string
	before number // of the last subject
}

// What else may be in place of a number.
const (
	unknown number = -1 // "the <unk>", of which only the verb shows the number
	none    number = -2 // there was no subject yet
)

func (g *grammar) next() string {
	if len(g.words) == 0 {
		panic("the sentence breaks off")
	}
	w := g.words[0]
	g.words = g.words[1:]
	return w
}

// accepts passes over a word if it is next.
func (g *grammar) accepts(word string) bool {
	if len(g.words) == 0 || g.words[0] != word {
		return false
	}
	g.next()
	return true
}

func (g *grammar) want(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf(format, args...))
	}
}

// knows tells whether a topic has the word, and in which number.
func knows(word string, of func(topic) []string) (number, bool) {
	for _, t := range topics {
		for _, w := range of(t) {
			switch word {
			case w:
				return singular, true
			case withS(w):
				return plural, true
			}
		}
	}
	return 0, false
}

func nouns(t topic) []string { return slices.Concat(t.actors, t.things) }
func verbs(t topic) []string { return t.verbs }

func (g *grammar) sentence() {
	if g.accepts("if") {
		g.statement()
		g.want(g.accepts("then"), "if without then")
		g.statement()
	} else {
		g.statement()
	}
	g.want(len(g.words) == 0, "%q is left", g.words)
}

func (g *grammar) statement() {
	n := g.subject()
	closing := "and"
	switch {
	case g.accepts("either"):
		closing = "or"
	case g.accepts("neither"):
		closing = "nor"
	}
	g.predicate(n)
	if g.accepts(closing) {
		g.predicate(n)
	} else {
		g.want(closing == "and", "%s is missing", closing)
	}
}

func (g *grammar) subject() number {
	for n, w := range []string{"it", "they"} {
		if g.accepts(w) {
			g.want(g.before == unknown || g.before == number(n), "%s stands for another number", w)
			return number(n)
		}
	}
	g.before = g.noun(0)
	return g.before
}

// noun reads a noun with all that belongs to it, clauses at a depth.
func (g *grammar) noun(depth int) number {
	g.want(depth <= 2, "clauses are nested %d deep", depth)
	n, any := singular, false
	switch w := g.next(); w {
	case "the":
		any = true
	case "a", "this", "every", "one":
	case "some", "these", "many", "N":
		n = plural
	default:
		g.want(false, "%q before a noun", w)
	}
	for {
		w := g.next()
		if w == "<unk>" {
			if any {
				n = unknown
			}
			break
		}
		m, ok := knows(w, nouns)
		if quality, _ := knows(w, func(t topic) []string { return t.qualities }); !ok && quality == singular {
			continue
		}
		g.want(ok, "%q is no noun", w)
		g.want(any || m == n, "%q is of another number", w)
		n = m
		break
	}
	for _, where := range []string{"near", "behind", "beside", "above"} {
		if g.accepts(where) {
			g.want(g.accepts("the"), "%s without the", where)
			_, ok := knows(g.next(), nouns)
			g.want(ok, "%s without a noun", where)
		}
	}
	if !g.accepts("that") {
		return n
	}
	if _, ok := knows(g.words[0], verbs); ok {
		n = g.verb(n)
		g.noun(depth + 1)
	} else {
		g.verb(g.noun(depth + 1))
	}
	return n
}

// verb reads one for a subject of that number and returns its own.
func (g *grammar) verb(n number) number {
	w := g.next()
	s, ok := knows(w, verbs)
	g.want(ok, "%q is no verb", w)
	g.want(n == unknown || s == 1-n, "%q does not agree", w) // the singular of verbs has the s
	return 1 - s
}

func (g *grammar) predicate(n number) {
	for is, w := range []string{"is", "are"} {
		if g.accepts(w) {
			g.want(n == unknown || n == number(is), "%s does not agree", w)
			g.next()
			g.want(g.accepts("for") && g.accepts([]string{"itself", "themselves"}[is]), "for itself or themselves is missing")
			return
		}
	}
	g.verb(n)
	g.noun(1)
}

// Every sentence follows the grammar, and distant words agree.
func TestGrammar(t *testing.T) {
	train, valid, test := Generate(20_000, 3)
	seen := map[string]int{}
	for _, part := range [][]byte{train, valid, test} {
		g := &grammar{before: none}
		for line := range strings.Lines(string(part)) {
			g.words = strings.Fields(line)
			for _, w := range g.words {
				seen[w]++
			}
			func() {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("%s%v", line, r)
					}
				}()
				g.sentence()
			}()
		}
	}
	for _, topic := range topics {
		for _, w := range slices.Concat(topic.actors, topic.things, topic.verbs) {
			if seen[w] == 0 || seen[withS(w)] == 0 {
				t.Errorf("%q or %q never occurs", w, withS(w))
			}
		}
	}
	for _, w := range []string{"then", "or", "nor", "themselves", "itself", "they", "N", "<unk>"} {
		if seen[w] < 20 {
			t.Errorf("%q occurs %d times", w, seen[w])
		}
	}
}

// Verbs must not be nouns too, or their number could not be told from the word.
func TestWordsOfOneKind(t *testing.T) {
	kind := map[string]string{}
	for _, topic := range topics {
		for name, words := range map[string][]string{"noun": nouns(topic), "verb": topic.verbs, "quality": topic.qualities} {
			for _, w := range words {
				for _, form := range []string{w, withS(w)} {
					if other, ok := kind[form]; ok && other != name {
						t.Errorf("%q is a %s and a %s", form, other, name)
					}
					kind[form] = name
				}
			}
		}
	}
}

func TestGenerate(t *testing.T) {
	long, _, _ := Generate(5000, 1)
	short, valid, test := Generate(500, 1)
	if !bytes.HasPrefix(long, short) {
		t.Error("a shorter text is not the beginning of a longer one")
	}
	if bytes.Equal(valid, test) || bytes.HasPrefix(long, valid) {
		t.Error("two parts are the same")
	}
	if other, _, _ := Generate(500, 2); bytes.Equal(short, other) {
		t.Error("two seeds give the same text")
	}
	if a, b := Generated(500, 1), Generated(500, 1); a.Source != b.Source || a.Source.Kind != KindGenerated {
		t.Errorf("%+v, then %+v", a.Source, b.Source)
	}
	for _, n := range []int{1, 9, 500} {
		c := Generated(n, 4)
		if len(c.Train) < n || len(c.Train) > n+150 || len(c.Valid) < n/10 || len(c.Test) > n/10+150 {
			t.Errorf("%d words: %d, %d and %d", n, len(c.Train), len(c.Valid), len(c.Test))
		}
	}
}
