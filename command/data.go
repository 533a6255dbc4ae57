package command

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/data"
	"github.com/nb1shot/nb1shot/data/text"
)

func dataCommand() *cli.Command {
	return &cli.Command{
		Name:        "data",
		Usage:       "download and describe images and texts",
		Description: "Examples:\n  nb1shot data fetch\n  nb1shot data fetch svhn",
		Subcommands: []*cli.Command{
			{
				Name:      "fetch",
				Usage:     "download CIFAR-10, CIFAR-100 or SVHN",
				ArgsUsage: "[NAME]",
				Description: `NAME is cifar10, which it is if left out, cifar100 or svhn. Downloads the official binary
archive, 170 MB, or for SVHN two files of MATLAB, 246 MB, and checks them. After an
interruption it continues where it stopped. Runs find CIFAR-10 by themselves, and the
others by --data cifar100 and --data svhn.

Examples:
  nb1shot data fetch
  nb1shot data fetch svhn`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "dir", Usage: "keep the files in `DIR`", DefaultText: "the data home, where runs find them"},
					&cli.StringFlag{Name: "url", Usage: "`URL` of a mirror of the archive, or of the folder of SVHN's files", DefaultText: "the official site"},
				},
				Action: interruptible(fetchImages),
			},
			{
				Name:      "import",
				Usage:     "copy images that are here already to where runs find them",
				ArgsUsage: "PATH",
				Description: `PATH is an archive or folder of CIFAR-10 or CIFAR-100, binary or for Python, or the folder
of SVHN's train_32x32.mat and test_32x32.mat. The files are checked by their MD5 sums, and
copied as they are; those of CIFAR-10 in the binary form, 184 MB.

Example:
  nb1shot data import cifar-10-python.tar.gz`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "dir", Usage: "copy into `DIR`", DefaultText: "the data home, where runs find it"},
				},
				Action: interruptible(importImages),
			},
			dataTextCommand(),
			{
				Name:      "info",
				Usage:     "say what images a run uses, or what a text has",
				ArgsUsage: "[PATH]",
				Description: `PATH is what --data of a run may be: an archive or folder of images, cifar10, cifar100 or
svhn, procedural or procedural100. Left out, it is what a run uses by default. It may also
be a folder with the files train.txt, valid.txt and test.txt of a text, such as Penn
Treebank, or with ptb. before these names; ptb, which is such a folder in the data home; or
generated, the text that takes its place.

Examples:
  nb1shot data info
  nb1shot data info simple-examples/data
  nb1shot data info cifar-100-python.tar.gz`,
				Action: describeData,
			},
		},
	}
}

func fetchImages(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return misuse(fmt.Errorf("%d arguments, want NAME alone", c.Args().Len()), "see %s --help", c.Command.HelpName)
	}
	kind := cmp.Or(c.Args().First(), data.KindCIFAR10)
	if !slices.Contains(data.Kinds(), kind) {
		return unknown("data set", kind, data.Kinds(), "choose one of "+strings.Join(data.Kinds(), ", "))
	}
	dir, err := imagesDir(c)
	if err != nil {
		return err
	}
	t := newTransfer(c.App.ErrWriter, "fetching "+data.Title(kind))
	path, err := data.Fetch(c.Context, dir, kind, data.FetchOptions{URL: c.String("url"), Progress: t.update, Note: t.note})
	t.end()
	switch {
	case errors.Is(err, data.ErrChecksum):
		return err
	case err != nil:
		return hinted(err, "what has arrived is kept: the same command continues")
	}
	_, err = fmt.Fprintln(c.App.Writer, path)
	return err
}

// imagesDir is the folder that --dir names, or the data home.
func imagesDir(c *cli.Context) (string, error) {
	if dir := c.String("dir"); dir != "" {
		return dir, nil
	}
	return dataHome()
}

func importImages(c *cli.Context) error {
	from, err := oneArgument(c, "PATH")
	if err != nil {
		return err
	}
	dir, err := imagesDir(c)
	if err != nil {
		return err
	}
	to, err := data.Import(c.Context, from, dir)
	switch {
	case errors.Is(err, data.ErrPresent):
		return hinted(err, "move it away, or copy to another folder: --dir DIR")
	case errors.Is(err, data.ErrChecksum):
		_, kind, _ := data.Locate(from)
		return hinted(err, "%s", toDownload(kind))
	case err != nil:
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, to)
	return err
}

// describeData describes images, or the text where the path has one.
func describeData(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return misuse(fmt.Errorf("%d arguments, want PATH alone", c.Args().Len()), "see %s --help", c.Command.HelpName)
	}
	path := c.Args().First()
	if path != "" {
		if path == generatedText || path == penn {
			found, err := findText(path)
			if err != nil {
				return err
			}
			return describeText(c, found)
		}
		dir, err := text.Locate(path)
		switch {
		case err != nil:
			return err
		case dir != "":
			return describeText(c, path)
		}
	}
	return describeImages(c, path)
}

func describeImages(c *cli.Context, path string) error {
	path, err := findImages(path)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	if generated(path) {
		classes := strings.Join(data.ProceduralClasses[:], ", ")
		if path == procedural100 {
			classes = "100: each of the " + fmt.Sprint(len(data.ProceduralClasses)) + " structures before each"
		}
		fmt.Fprintf(t, "kind\t%s: a stand-in, generated\n", path)
		fmt.Fprintln(t, "images\tas many as a run uses, 32 pixels wide")
		fmt.Fprintf(t, "classes\t%s\n", classes)
		return t.Flush()
	}
	set, test, err := openImages(c.Context, path, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(t, "kind\t%s: %s\n", set.Source.Kind, set.Source.Detail)
	fmt.Fprintf(t, "images\t%s, %d pixels wide; %s to test\n", grouped(set.Len()), set.Side, grouped(test.Len()))
	fmt.Fprintf(t, "classes\t%d\n", set.Classes)
	fmt.Fprintf(t, "SHA-256\t%s\n", set.Source.Digest)
	return t.Flush()
}
