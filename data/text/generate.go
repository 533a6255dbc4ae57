package text

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/nb1shot/nb1shot/random"
)

// MaxGenerated bounds the words of the training part of a generated corpus: ten times
// Penn Treebank's.
const MaxGenerated = 10_000_000

// Generate writes the three token files of the stand-in for Penn Treebank. The training
// text has at least words words, counted with the ends of lines, and no sentence more than
// that takes; the others have a tenth of that. words is 1 to MaxGenerated. Equal arguments
// give equal texts, each part has a stream of its own, and a shorter text is the beginning
// of a longer one.
//
// Texts are passages of a few sentences about one of eight topics, from which most of
// their nouns, verbs and adjectives come. Sentences follow a small grammar in which distant
// words agree, so that a model has to remember more than the words just before:
//
//   - verbs agree in number with their subject, over adjectives, phrases and relative
//     clauses, nested at most twice, whose own nouns are of either number;
//   - what a sentence opens it closes: "if … then", "either … or", "neither … nor";
//   - at the end "itself" or "themselves" refers to the subject;
//   - "it" and "they" stand for the subject of the sentence before;
//   - the topic remains for a whole passage.
//
// As in the preprocessed Penn Treebank all is in lower case, numbers are N and a few rare
// words are <unk>.
func Generate(words int, seed uint64) (train, valid, test []byte) {
	words = min(max(words, 1), MaxGenerated)
	tenth := (words + 9) / 10
	return write(words, random.New(seed, "text/train")), write(tenth, random.New(seed, "text/valid")), write(tenth, random.New(seed, "text/test"))
}

// Generated is the corpus of the texts of Generate.
func Generated(words int, seed uint64) *Corpus {
	c, err := Parse(Generate(words, seed))
	if err != nil {
		panic(fmt.Sprintf("data/text: the generated text: %v", err)) // cannot be: it is never empty
	}
	c.Source = Source{Kind: KindGenerated, Detail: fmt.Sprintf("%d words of seed %d, generated", len(c.Train), seed)}
	return newCorpus(*c)
}

// write writes sentences until there are enough words.
func write(words int, r *rand.Rand) []byte {
	var b bytes.Buffer
	w := writer{r: r}
	for n := 0; n < words; n += len(w.words) + 1 {
		w.sentence()
		b.WriteString(" " + strings.Join(w.words, " ") + " \n")
	}
	return b.Bytes()
}

// topic is what a passage is about. Nouns and verbs are given as they are in the singular
// and in the plural without the s, which the other number has.
type topic struct{ actors, things, verbs, qualities []string }

func newTopic(actors, things, verbs, qualities string) topic {
	return topic{strings.Fields(actors), strings.Fields(things), strings.Fields(verbs), strings.Fields(qualities)}
}

var topics = []topic{
	newTopic("cook baker waiter guest", "oven pan plate spoon carrot onion pie soup",
		"boil taste serve stir clean warm", "hot sweet burnt salty fresh"),
	newTopic("sailor captain pilot passenger", "ship harbor anchor rope island map storm wave",
		"board steer follow reach leave spot", "rough distant calm northern wooden"),
	newTopic("doctor nurse patient surgeon", "ward needle pill bandage scan wound bed drug",
		"treat examine heal order test visit", "sick sterile mild chronic early"),
	newTopic("broker banker investor trader", "share bond market fund loan price dollar index",
		"buy trade sell lend value drop", "cheap volatile foreign quarterly risky"),
	newTopic("farmer shepherd neighbor miller", "field barn cow goat plough seed fence tractor",
		"plant feed milk gather mend load", "green muddy fertile dry broad"),
	newTopic("lawyer judge witness clerk", "court trial verdict contract appeal claim record rule",
		"accept deny cite file hear review", "legal guilty civil formal federal"),
	newTopic("player coach referee rival", "ball goal team season medal league match record",
		"kick score win train block cheer", "fast local strong young final"),
	newTopic("singer painter poet critic", "song poem canvas stage brush novel tune theater",
		"sing paint praise admire copy mock", "bright modern famous quiet strange"),
}

// number is that of nouns and verbs.
type number int

const (
	singular number = iota
	plural
)

// The chances of what a sentence has. They leave sentences of about twelve words.
const (
	leaveTopic   = 0.12 // of a passage to end after a sentence
	otherTopic   = 0.08 // of a word to come from any topic
	rare         = 0.02 // of a noun to be <unk>
	pronoun      = 0.25 // of a subject to be the one before
	quality      = 0.3  // of a noun to have an adjective, and of that another one
	clause       = 0.35 // of a subject to have a relative clause
	innerClause  = 0.15 // of a noun within one to have another
	place        = 0.2  // of a noun to have a phrase after it
	coordination = 0.2  // of two predicates for a subject
	frame        = 0.25 // of a sentence that opens what it has to close
	reflexive    = 0.15 // of a predicate to end in a reflexive pronoun
)

// writer writes one sentence after another.
type writer struct {
	r      *rand.Rand
	topic  int
	begun  bool // whether there is a topic
	before int  // number of the last subject, or -1 at the beginning of a passage
	words  []string
}

func (w *writer) say(words ...string) { w.words = append(w.words, words...) }

func (w *writer) chance(p float64) bool { return w.r.Float64() < p }

// pick draws one of the words, the first ones more often.
func (w *writer) pick(of []string) string {
	return of[min(w.r.IntN(len(of)), w.r.IntN(len(of)))]
}

func (w *writer) number() number { return number(w.r.IntN(2)) }

// about is the topic of a word.
func (w *writer) about() topic {
	if w.chance(otherTopic) {
		return topics[w.r.IntN(len(topics))]
	}
	return topics[w.topic]
}

// sentence replaces words by those of the next sentence.
func (w *writer) sentence() {
	w.words = nil
	if !w.begun || w.chance(leaveTopic) {
		w.topic, w.begun, w.before = w.r.IntN(len(topics)), true, -1
	}
	switch {
	case !w.chance(frame):
		w.statement()
	case w.chance(0.4):
		w.say("if")
		w.statement()
		w.say("then")
		w.statement()
	default:
		pair := [][2]string{{"either", "or"}, {"neither", "nor"}}[w.r.IntN(2)]
		n := w.subject()
		w.say(pair[0])
		w.predicate(n)
		w.say(pair[1])
		w.predicate(n)
	}
}

// statement says a subject and what it does.
func (w *writer) statement() {
	n := w.subject()
	w.predicate(n)
	if w.chance(coordination) {
		w.say("and")
		w.predicate(n)
	}
}

// subject says one, or the pronoun for the last one, and returns its number.
func (w *writer) subject() number {
	if w.before >= 0 && w.chance(pronoun) {
		w.say([]string{"it", "they"}[w.before])
		return number(w.before)
	}
	n := w.number()
	w.before = int(n)
	w.noun(n, true)
	if w.chance(clause) {
		w.relative(n, 1)
	}
	return n
}

// noun says a noun with what goes before it.
func (w *writer) noun(n number, actor bool) {
	if n == singular {
		w.say(w.pick([]string{"the", "a", "this", "every", "one"}))
	} else {
		w.say(w.pick([]string{"the", "some", "these", "many", "N"}))
	}
	for w.chance(quality) {
		w.say(w.pick(w.about().qualities))
	}
	of := w.about().things
	if actor {
		of = w.about().actors
	}
	word := w.pick(of)
	switch {
	case w.chance(rare):
		word = "<unk>"
	case n == plural:
		word = withS(word)
	}
	w.say(word)
	if w.chance(place) {
		w.say(w.pick([]string{"near", "behind", "beside", "above"}), "the")
		where := w.pick(w.about().things)
		if w.chance(0.5) {
			where = withS(where)
		}
		w.say(where)
	}
}

// relative says a clause about a noun of a number: what it does, or who does it to it. It
// is as deep in others as depth says.
func (w *writer) relative(n number, depth int) {
	w.say("that")
	if w.chance(0.5) {
		w.verb(n)
		w.object(depth)
		return
	}
	m := w.number()
	w.noun(m, true)
	if depth < 2 && w.chance(innerClause) {
		w.relative(m, depth+1)
	}
	w.verb(m)
}

// object says the noun that something is done to.
func (w *writer) object(depth int) {
	m := w.number()
	w.noun(m, false)
	if depth < 2 && w.chance(innerClause) {
		w.relative(m, depth+1)
	}
}

// predicate says what a subject of that number does.
func (w *writer) predicate(n number) {
	if w.chance(reflexive) {
		w.say([]string{"is", "are"}[n], w.pick(w.about().qualities), "for", []string{"itself", "themselves"}[n])
		return
	}
	w.verb(n)
	w.object(1)
}

// verb says a verb of a subject of that number.
func (w *writer) verb(n number) {
	v := w.pick(w.about().verbs)
	if n == singular {
		v = withS(v)
	}
	w.say(v)
}

// withS is a noun in the plural or a verb in the singular.
func withS(word string) string {
	switch {
	case strings.HasSuffix(word, "y") && !strings.HasSuffix(word, "ay") && !strings.HasSuffix(word, "uy") && !strings.HasSuffix(word, "oy"):
		return word[:len(word)-1] + "ies"
	case strings.HasSuffix(word, "s"), strings.HasSuffix(word, "ch"), strings.HasSuffix(word, "sh"), strings.HasSuffix(word, "x"):
		return word + "es"
	}
	return word + "s"
}
