package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark"
	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
	"github.com/nb1shot/nb1shot/internal/abandon"
	"github.com/nb1shot/nb1shot/internal/advice"
	"github.com/nb1shot/nb1shot/nasbench"
	"github.com/nb1shot/nb1shot/results"
)

// The names of the stand-ins, where a path could stand.
const (
	procedural    = data.KindProcedural
	procedural100 = data.KindProcedural100
	surrogate     = "surrogate"
)

// generated tells whether the images of a kind, or of a choice, are a stand-in.
func generated(images string) bool { return images == procedural || images == procedural100 }

// standInImages says what takes the place of which images.
func standInImages(kind string) string {
	real := ""
	if kind == procedural100 {
		real = " " + data.KindCIFAR100
	}
	return "a stand-in, generated; for the real ones: " + program + " data fetch" + real
}

// dataFlag is the option for the images, of which before says what they are.
func dataFlag(before, defaultText string) *cli.StringFlag {
	return &cli.StringFlag{Name: "data", Usage: before + "CIFAR-10, CIFAR-100 or SVHN at `PATH`; " + strings.Join(data.Kinds(), ", ") +
		" in the data home; or generated: procedural, procedural100", DefaultText: defaultText}
}

// dataHome is the folder of the images and of the default table.
func dataHome() (string, error) {
	if dir := os.Getenv("NB1SHOT_HOME"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "nb1shot"), nil
	}
	dir, err := os.UserHomeDir()
	if err != nil {
		return "", hinted(fmt.Errorf("find the data home: %w", err), "set NB1SHOT_HOME to the folder for the images and the table")
	}
	return filepath.Join(dir, ".local", "share", "nb1shot"), nil
}

// defaultTable is the path of the default table.
func defaultTable() (string, error) {
	home, err := dataHome()
	return filepath.Join(home, "nasbench.sqlite"), err
}

// proceduralImages is how many images a stand-in has where no limit is given, as many as
// CIFAR-10's training set.
const proceduralImages = 50000

// findImages returns the path that data.Open shall read, or the name of a stand-in. The
// choice may be one of data.Kinds, which is looked for in the data home unless there is a
// file of that name. An empty choice is that of NB1SHOT_DATA, or else CIFAR-10 in the data
// home if it is there.
func findImages(choice string) (string, error) {
	choice = cmp.Or(choice, os.Getenv("NB1SHOT_DATA"))
	if generated(choice) {
		return choice, nil
	}
	if there, err := exists(choice); choice != "" && (there || err != nil || !slices.Contains(data.Kinds(), choice)) {
		return choice, nil // what is wrong with it is reported when it is opened
	}
	home, err := dataHome()
	if err != nil {
		return "", err
	}
	path, _, err := data.Locate(home, cmp.Or(choice, data.KindCIFAR10))
	switch {
	case err != nil:
		return "", err
	case path != "":
		return path, nil
	case choice == "":
		return procedural, nil
	}
	return "", hinted(fmt.Errorf("%s is not in the data home, %s", data.Title(choice), home), "%s", toDownload(choice))
}

// toDownload says how to get the images of a kind.
func toDownload(kind string) string {
	switch kind {
	case "", data.KindCIFAR10:
		return "to download CIFAR-10: nb1shot data fetch"
	}
	return fmt.Sprintf("to download %s: nb1shot data fetch %s", data.Title(kind), kind)
}

// advisedImages returns where the images of a kind and a digest were, by the advice in a
// folder of runs, or "".
func advisedImages(root, kind, digest string) string {
	path := advice.Path(root, advice.Images, digest)
	if path == "" {
		return ""
	}
	if at, _, err := data.Locate(path, kind); err == nil && at != "" {
		return at
	}
	return path
}

// openImages returns the training and test images at the path, or so many generated
// training images and a fifth of that for testing. A limit on the training images, if it
// is not 0, limits the test images likewise.
func openImages(ctx context.Context, path string, limit int) (train, test *data.Set, err error) {
	share := max(limit/5, 1)
	if generated(path) {
		if limit == 0 {
			limit, share = proceduralImages, proceduralImages/5
		}
		generate := data.Procedural
		if path == procedural100 {
			generate = data.Procedural100
		}
		sets, err := abandon.Do(ctx, 0, func() ([2]*data.Set, error) {
			return [2]*data.Set{generate(limit, 0), generate(share, 1)}, nil
		})
		return sets[0], sets[1], err
	}
	p, err := data.Open(ctx, path)
	if err == nil {
		if limit > 0 {
			p.Test = data.First(p.Test, share)
		}
		return p.Train, p.Test, nil
	}
	_, kind, _ := data.Locate(path)
	switch {
	case errors.Is(err, data.ErrSeveral):
		return nil, nil, err
	case errors.Is(err, data.ErrChecksum):
		return nil, nil, hinted(err, "remove the damaged file; %s", toDownload(kind))
	}
	return nil, nil, hinted(err, "%s; to do without: --data procedural", toDownload(kind))
}

// generatedText is the name of the text that stands in for Penn Treebank, where a path could
// stand.
const generatedText = text.KindGenerated

// penn is the folder of the data home where Penn Treebank is looked for, or in simple-examples,
// as its archive is called.
const penn = "ptb"

// findText returns the folder of a text that text.Open shall read, or the name of the stand-in.
// An empty choice is that of NB1SHOT_DATA, where that has a text, or else Penn Treebank in the
// data home if it is there. The name ptb is the latter.
func findText(choice string) (string, error) {
	if choice == "" { // images there are no text, and no mistake
		if dir, err := text.Locate(os.Getenv("NB1SHOT_DATA")); err == nil && dir != "" && os.Getenv("NB1SHOT_DATA") != "" {
			return dir, nil
		}
	}
	if choice == generatedText {
		return choice, nil
	}
	if there, err := exists(choice); choice != "" && (there || err != nil || choice != penn) {
		return choice, nil // what is wrong with it is reported when it is opened
	}
	home, err := dataHome()
	if err != nil {
		return "", err
	}
	for _, name := range []string{penn, "simple-examples"} {
		dir, err := text.Locate(filepath.Join(home, name))
		if err != nil || dir != "" {
			return dir, err
		}
	}
	if choice == "" {
		return generatedText, nil
	}
	return "", hinted(fmt.Errorf("text %s is not in the data home, %s", penn, home), "put its train.txt, valid.txt and test.txt into %s", filepath.Join(home, penn))
}

// findData is findText where networks read words, else findImages.
func findData(family benchmark.Family, choice string) (string, error) {
	if family.ReadsText() {
		return findText(choice)
	}
	return findImages(choice)
}

// standInText says what takes the place of Penn Treebank.
const standInText = "a stand-in, generated; for the real one: --data DIR with train.txt, valid.txt and test.txt"

// pennWords are the training words of Penn Treebank, and so of the stand-in where no limit is
// given.
const pennWords = 929_589

// openText returns the text in a folder, or the stand-in of so many training words. A limit
// other than 0 leaves the first words of it, see text.Corpus.First.
func openText(ctx context.Context, path string, words int) (*text.Corpus, error) {
	if path == generatedText {
		return abandon.Do(ctx, 0, func() (*text.Corpus, error) {
			return text.Generated(cmp.Or(words, pennWords), 0).First(words), nil
		})
	}
	c, err := text.Open(ctx, path)
	if err != nil {
		return nil, hinted(err, "to do without: --data %s", generatedText)
	}
	return c.First(words), nil
}

// openTable opens a table as openUnverified does, and verifies all of it.
func openTable(ctx context.Context, choice string) (nasbench.Oracle, error) {
	oracle, err := openUnverified(choice)
	if err != nil {
		return nil, err
	}
	if t, ok := oracle.(*nasbench.Table); ok {
		if err := t.Verify(ctx); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return oracle, nil
}

// openUnverified opens the table at the path, or the surrogate, for looking up single
// cells, which are verified one by one. The choice is as findTable's.
func openUnverified(choice string) (nasbench.Oracle, error) {
	choice, err := findTable(choice)
	if err != nil {
		return nil, err
	}
	if choice == surrogate {
		return nasbench.Default(), nil
	}
	t, err := nasbench.Open(choice)
	if err != nil {
		return nil, hinted(err, "to build a table: nb1shot table import FILE; to do without: --table surrogate")
	}
	return t, nil
}

// findTable returns the path of a table, or surrogate. An empty choice is that of
// NB1SHOT_TABLE, or else the table in the data home if it is there, and otherwise the
// surrogate.
func findTable(choice string) (string, error) {
	if choice = cmp.Or(choice, os.Getenv("NB1SHOT_TABLE")); choice != "" {
		return choice, nil
	}
	path, err := defaultTable()
	if err != nil {
		return "", err
	}
	ok, err := exists(path)
	if !ok {
		path = surrogate
	}
	return path, err
}

// paths are where a command found its images and its table.
type paths struct{ images, table string }

// note remembers in a folder of runs where the images and the table were that have these
// digests. What can be generated is nowhere. It is advice, so that failing does no harm.
func (p paths) note(dir, images, table string) {
	if !generated(p.images) && p.images != generatedText && images != "" {
		advice.Note(dir, advice.Images, images, p.images)
	}
	if p.table != surrogate && p.table != "" {
		advice.Note(dir, advice.Table, table, p.table)
	}
}

// openTableAt opens the table of --table, which must have results after the given number
// of epochs of training, the budget.
func openTableAt(c *cli.Context, epochs int) (nasbench.Oracle, error) {
	oracle, err := openUnverified(c.String("table"))
	if err != nil {
		return nil, err
	}
	what, hint := "table", "what the table holds: nb1shot table info"
	budgets := []int{nasbench.Epochs}
	if t, ok := oracle.(*nasbench.Table); !ok {
		what, hint = "surrogate", "give a table with --table PATH"
	} else if budgets, err = t.Budgets(c.Context); err != nil {
		return nil, errors.Join(err, oracle.Close())
	}
	if !slices.Contains(budgets, epochs) {
		known := strings.ReplaceAll(joinInts(budgets), ",", ", ")
		return nil, errors.Join(hinted(fmt.Errorf("the %s knows %s epochs, not %d", what, known, epochs), "%s", hint), oracle.Close())
	}
	return oracle, nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// tableTitle says in a few words what a kind of table is.
func tableTitle(kind string) string {
	switch kind {
	case nasbench.KindNASBench101:
		return "NAS-Bench-101"
	case nasbench.KindMeans:
		return "means of NAS-Bench-101"
	case nasbench.KindNNI:
		return "NAS-Bench-101 as NNI converted it"
	case nasbench.KindSurrogate:
		return "surrogate of NAS-Bench-101: predicted, not measured"
	case results.NoTable:
		return "no table: the space has none"
	default:
		return "synthetic records, not NAS-Bench-101"
	}
}

// measured tells whether the kind of table holds NAS-Bench-101's results.
func measured(kind string) bool {
	_, standIn := results.Provenance{Table: kind}.StandIns()
	return !standIn
}
