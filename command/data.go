package command

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/data"
)

func dataCommand() *cli.Command {
	return &cli.Command{
		Name:        "data",
		Usage:       "download and describe the images",
		Description: "Example:\n  nb1shot data fetch",
		Subcommands: []*cli.Command{
			{
				Name:  "fetch",
				Usage: "download CIFAR-10",
				Description: `Downloads the official binary archive, 170 MB, and checks it. After an
interruption it continues where it stopped.

Example:
  nb1shot data fetch`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "dir", Usage: "keep the archive in `DIR`", DefaultText: "the data home, where runs find it"},
					&cli.StringFlag{Name: "url", Usage: "`URL` of a mirror", DefaultText: "the official site"},
				},
				Action: interruptible(fetchImages),
			},
			{
				Name:      "import",
				Usage:     "copy CIFAR-10 that is here already to where runs find it",
				ArgsUsage: "PATH",
				Description: `PATH is an archive or folder of CIFAR-10, binary or for Python. Its six batch files are
checked by their MD5 sums, and copied in the binary form, 184 MB.

Example:
  nb1shot data import cifar-10-python.tar.gz`,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "dir", Usage: "copy into `DIR`", DefaultText: "the data home, where runs find it"},
				},
				Action: interruptible(importImages),
			},
			{
				Name:      "info",
				Usage:     "say what images a run uses",
				ArgsUsage: "[PATH]",
				Description: `PATH is an archive or folder of CIFAR-10, or "procedural"; left out, it is what a
run uses by default.

Example:
  nb1shot data info`,
				Action: describeImages,
			},
		},
	}
}

func fetchImages(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	dir, err := imagesDir(c)
	if err != nil {
		return err
	}
	t := newTransfer(c.App.ErrWriter, "fetching CIFAR-10")
	path, err := data.Fetch(c.Context, dir, data.FetchOptions{URL: c.String("url"), Progress: t.update, Note: t.note})
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
		return hinted(err, "to download CIFAR-10: nb1shot data fetch")
	case err != nil:
		return err
	}
	_, err = fmt.Fprintln(c.App.Writer, to)
	return err
}

func describeImages(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return misuse(fmt.Errorf("%d arguments, want PATH alone", c.Args().Len()), "see %s --help", c.Command.HelpName)
	}
	path, err := findImages(c.Args().First())
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	if path == procedural {
		fmt.Fprintln(t, "kind\tprocedural: a stand-in, generated")
		fmt.Fprintln(t, "images\tas many as a run uses, 32 pixels wide")
		fmt.Fprintf(t, "classes\t%s\n", strings.Join(data.ProceduralClasses[:], ", "))
		return t.Flush()
	}
	set, _, err := openImages(c.Context, path, officialImages)
	if err != nil {
		return err
	}
	fmt.Fprintf(t, "kind\t%s: %s\n", set.Source.Kind, set.Source.Detail)
	fmt.Fprintf(t, "images\t%s, %d pixels wide\n", grouped(set.Len()), set.Side)
	fmt.Fprintf(t, "SHA-256\t%s\n", set.Source.Digest)
	return t.Flush()
}
