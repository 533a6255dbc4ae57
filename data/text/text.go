// Package text provides the words that a recurrent language model trains on: a corpus of
// three token files, such as Penn Treebank's, read as the released code reads it, and a
// generated stand-in that needs no download; and the columns and windows that a model sees
// of them (Section 5.4 of the SDARTS paper, Zaremba et al., 2014).
package text

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
)

// The kinds of corpora, as Source.Kind and records name them.
const (
	KindPTB       = "ptb"       // as many words, known and in all, as Penn Treebank has
	KindText      = "text"      // any other three files
	KindGenerated = "generated" // the stand-in
)

// IsKind tells whether what a provenance names in the place of images is a text.
func IsKind(kind string) bool { return kind == KindPTB || kind == KindText || kind == KindGenerated }

// EndOfSentence is the word that ends every line. Where a text has it, it is the same word.
const EndOfSentence = "<eos>"

// Source tells where a corpus comes from.
type Source struct {
	Kind   string // one of the kinds above
	Detail string // for people: from where
	Digest string // SHA-256, in hex, of the vocabulary and the three sequences
}

// Corpus is a text in three parts with one vocabulary. A word is known by its number, in
// the order in which words first occur in Train, then Valid, then Test: the last number
// matters, since the released code leaves out a gradient of it (quirk R7 of the space).
type Corpus struct {
	Words              []string // by their numbers, each once
	Train, Valid, Test []int32  // numbers of words; every line ends in EndOfSentence
	Source             Source
}

// published are the sizes of Penn Treebank after the preprocessing of Mikolov et al.
// (2010), which everybody uses. No checksums of the files are known.
var published = struct{ words, train, valid, test int }{10_000, 929_589, 73_760, 82_430}

// newCorpus completes a corpus by its kind, unless it has one, and its digest.
func newCorpus(c Corpus) *Corpus {
	if c.Source.Kind == "" {
		c.Source.Kind = KindText
		if len(c.Words) == published.words && len(c.Train) == published.train && len(c.Valid) == published.valid && len(c.Test) == published.test {
			c.Source.Kind = KindPTB
		}
	}
	h := sha256.New()
	for _, w := range c.Words { // none contains white space
		fmt.Fprintln(h, w)
	}
	for _, part := range [][]int32{c.Train, c.Valid, c.Test} {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		binary.Write(h, binary.LittleEndian, part) // a hash never fails
	}
	c.Source.Digest = hex.EncodeToString(h.Sum(nil))
	return &c
}

// First returns the corpus with the first words of the training part alone, and a tenth of
// that of each of the others, as Generate makes them; or the corpus itself where it has no
// more, or words is 0. The vocabulary, and so the network, stays that of the whole.
func (c *Corpus) First(words int) *Corpus {
	tenth := (words + 9) / 10
	if words <= 0 || len(c.Train) <= words && len(c.Valid) <= tenth && len(c.Test) <= tenth {
		return c
	}
	first := *c
	first.Train = c.Train[:min(words, len(c.Train))]
	first.Valid, first.Test = c.Valid[:min(tenth, len(c.Valid))], c.Test[:min(tenth, len(c.Test))]
	first.Source.Detail = fmt.Sprintf("%s, its first %d words", c.Source.Detail, len(first.Train))
	return newCorpus(first)
}

// Describe says in a line for people which text it is, and how large.
func (c *Corpus) Describe() string {
	return fmt.Sprintf("%s; %d different words, %d to train, %d to validate, %d to test",
		c.Source.Detail, len(c.Words), len(c.Train), len(c.Valid), len(c.Test))
}

// Counts returns how often each word occurs in the three parts together.
func (c *Corpus) Counts() []int {
	n := make([]int, len(c.Words))
	for _, part := range [][]int32{c.Train, c.Valid, c.Test} {
		for _, w := range part {
			n[w]++
		}
	}
	return n
}

// Unigram returns the perplexity on a part of the model that knows nothing but how often
// each word occurs in the training part, each word counted once more than it does. A
// recurrent model that does no better has learnt nothing from the order of words.
func (c *Corpus) Unigram(part []int32) float64 {
	counts := make([]float64, len(c.Words))
	for _, w := range c.Train {
		counts[w]++
	}
	loss, all := 0.0, math.Log(float64(len(c.Train)+len(c.Words)))
	for _, w := range part {
		loss += all - math.Log(counts[w]+1)
	}
	return math.Exp(loss / float64(len(part)))
}

// vocabulary numbers words as they first occur.
type vocabulary struct {
	number map[string]int32
	words  []string
}

// lookup returns the number of a word, a new one for a new word.
func (v *vocabulary) lookup(word []byte) int32 {
	if n, ok := v.number[string(word)]; ok {
		return n
	}
	n := int32(len(v.words))
	v.words = append(v.words, string(word))
	v.number[v.words[n]] = n
	return n
}

// Columns is a sequence of words cut into as many columns of equal length as a batch has
// sequences, which are read side by side. Column b holds words b·Rows to (b+1)·Rows − 1;
// what is left at the end is dropped.
type Columns struct {
	Batch  int     // columns, at least 1
	Rows   int     // words of each, at least 2
	tokens []int32 // row by row
}

// NewColumns cuts a sequence into so many columns. It is an error if that leaves less than
// two rows, of which nothing could be predicted.
func NewColumns(sequence []int32, batch int) (Columns, error) {
	if batch < 1 {
		return Columns{}, fmt.Errorf("%d columns, want at least 1", batch)
	}
	rows := len(sequence) / batch
	if rows < 2 {
		return Columns{}, fmt.Errorf("%d words in %d columns make %d rows, want at least 2: take a longer text or a smaller batch", len(sequence), batch, rows)
	}
	c := Columns{Batch: batch, Rows: rows, tokens: make([]int32, 0, rows*batch)}
	for i := range rows {
		for b := range batch {
			c.tokens = append(c.tokens, sequence[b*rows+i])
		}
	}
	return c, nil
}

// Row returns the Batch words of row i, which alias the columns'.
func (c Columns) Row(i int) []int32 { return slices.Clip(c.tokens[i*c.Batch : (i+1)*c.Batch]) }

// Window returns what the model reads from row i ≥ 0 on, at most length rows, and what it is
// to predict, the row after each: both T×Batch, row by row. T is as large as the rows allow,
// 0 at the end. They alias the columns'.
func (c Columns) Window(i, length int) (inputs, targets []int32) {
	t := max(min(length, c.Rows-1-i), 0)
	if t == 0 {
		return nil, nil
	}
	return slices.Clip(c.tokens[i*c.Batch : (i+t)*c.Batch]), slices.Clip(c.tokens[(i+1)*c.Batch : (i+t+1)*c.Batch])
}

// Passage is what a step of a search or of a training reads: a window of the columns of a
// stream. Passages of a stream follow one another, and a recurrent network carries its hidden
// states from each to the next; it begins with states of 0 at number 0 of an epoch.
type Passage struct {
	Stream          string  // names the columns that are read
	Epoch, Number   int     // of the window
	Batch           int     // columns, see Columns
	Inputs, Targets []int32 // T×Batch, see Columns.Window
	// Rate is what the learning rate of a step on it is multiplied by: the length that was
	// drawn for it over the usual one (quirk R3 of the space).
	Rate float64
	// Begins tells that the passage does not go on from the one before, but begins with hidden
	// states of 0, as number 0 of an epoch does.
	Begins bool
}
