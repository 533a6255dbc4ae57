package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/nb1shot/nb1shot/benchmark/stability"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/serve"
	"github.com/nb1shot/nb1shot/results"
	"github.com/nb1shot/nb1shot/spaces"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:      "serve",
		Usage:     "show a folder of runs as a live page",
		ArgsUsage: "[DIR]",
		Description: `Serves a page with the figures and tables of a report and a table of the runs, and a
page for each run, which are refreshed as records arrive. DIR is a folder of run
directories or a run directory, by default runs. Nothing is written, and only DIR is
read. The page is for this machine alone unless --addr says otherwise; anybody who can
reach the address can read it. Ctrl-C ends it.

Example:
  nb1shot serve runs
  nb1shot serve runs --addr 127.0.0.1:8080`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "addr", Usage: "listen at `HOST:PORT`; port 0 is one that is free", Value: "127.0.0.1:0"},
			&cli.StringFlag{Name: "table", Usage: "count regrets from the lowest error of the table at `PATH`, if the runs were looked up in it", DefaultText: "nasbench.sqlite in the data home"},
		},
		Action: serveRuns,
	}
}

func serveRuns(c *cli.Context) error {
	dir := "runs"
	if c.Args().Present() {
		var err error
		if dir, err = oneArgument(c, "DIR"); err != nil {
			return err
		}
	}
	addr := c.String("addr")
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return misuse(fmt.Errorf("--addr is %q, want HOST:PORT", addr), "an example is: --addr 127.0.0.1:8080")
	}
	if c.IsSet("table") { // which is opened again when there are runs
		if _, err := findAnchors(c, nil); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(c.Context, endings()...)
	defer stop()
	handler, err := serve.New(serve.Options{
		Dir: dir, Program: "nb1shot " + version(), Hosts: hostNames(host),
		Anchors: func(runs []*results.History) (map[spaces.Name]stability.Anchor, error) { return findAnchors(c, runs) },
	})
	if err != nil {
		return hinted(err, "name a folder of runs, or make one: nb1shot run")
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	at := listener.Addr().(*net.TCPAddr)
	if !at.IP.IsLoopback() {
		fmt.Fprintf(c.App.ErrWriter, "%s: warning: whoever can reach %s can read what is in %s; by default the page is for this machine alone\n", program, at, dir)
	}
	if at.IP.IsUnspecified() {
		at.IP = net.IPv4(127, 0, 0, 1) // to be opened here
	}
	fmt.Fprintf(c.App.Writer, "http://%s/\n", at)
	fmt.Fprintln(c.App.ErrWriter, "Ctrl-C ends it")
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 5 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	closed := fault.Start(func() {
		<-ctx.Done()
		server.Close() // at once: nothing that is sent is worth waiting for
	})
	err = server.Serve(listener)
	stop()
	<-closed
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// hostNames are the names by which a server that listens at a host may be called.
func hostNames(host string) []string {
	names := []string{host}
	if ip := net.ParseIP(host); host == "" || ip != nil && !ip.IsLoopback() {
		if name, err := os.Hostname(); err == nil {
			names = append(names, name)
		}
	}
	return names
}
