package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/fault"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// pace is how long a transfer waits for what.
type pace struct {
	// window is the longest wait for a connection and for the head of an answer; and
	// in each window a body must bring least bytes.
	window time.Duration
	least  int64
	// pauses are before the attempts that follow a failed one, as long as none of them
	// brings anything.
	pauses []time.Duration
}

// usual gives up a server that sends nothing, or next to nothing, for half a minute.
var usual = pace{30 * time.Second, 30 << 10, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}}

// mostRedirects bounds how often a server may name another address.
const mostRedirects = 10

var (
	errSlow      = errors.New("the server sends too little")
	errRedirects = fmt.Errorf("more than %d redirects", mostRedirects)
)

// final is an error that another attempt will not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// transfer brings one file.
type transfer struct {
	File
	part   string   // where bytes are collected
	lock   *os.File // part, open so that no other process writes to it
	report func(done, total int64)
	client *http.Client
	told   bool // that the server cannot resume
}

// open prepares a transfer into the file part, which no other process may be at.
func (f File) open(part string, report func(done, total int64)) (*transfer, error) {
	lock, err := foreign.OpenFile(part, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := durable.Lock(lock); err != nil {
		lock.Close()
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("another process fetches %s: %w", f.Name, err)
		}
		return nil, err
	}
	if f.pace == nil {
		f.pace = &usual
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: f.pace.window}).DialContext
	transport.TLSHandshakeTimeout = f.pace.window
	transport.ResponseHeaderTimeout = f.pace.window
	transport.DisableKeepAlives = true
	return &transfer{File: f, part: part, lock: lock, report: report, client: &http.Client{
		Transport: transport,
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > mostRedirects {
				return errRedirects
			}
			return nil
		},
	}}, nil
}

// close leaves no empty file.
func (t *transfer) close() {
	if info, err := os.Lstat(t.part); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		os.Remove(t.part)
	}
	os.Remove(t.whole())
	t.lock.Close()
}

// whole is where all of the file is collected once more.
func (t *transfer) whole() string { return t.part + ".new" }

// complete gets what part lacks, in as many attempts as it takes while they bring
// anything.
func (t *transfer) complete(ctx context.Context) error {
	failed := 0
	brought := false // anything at all
	for {
		n, err := t.attempt(ctx)
		var never final
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &never):
			return never.error
		}
		var dial *net.OpError // there is no such server
		if n >= t.pace.least {
			failed, brought = 0, true
		} else if !brought && errors.As(err, &dial) && dial.Op == "dial" && !dial.Timeout() {
			return err
		}
		if failed == len(t.pace.pauses) {
			return err
		}
		t.note(fmt.Sprintf("%v; trying again in %v", t.safe(err), t.pace.pauses[failed]))
		select {
		case <-time.After(t.pace.pauses[failed]):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		failed++
	}
}

// attempt asks once for what part lacks, and returns how many bytes it has brought.
func (t *transfer) attempt(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	info, err := t.lock.Stat()
	if err != nil {
		return 0, final{err}
	}
	done := info.Size()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil { // whose text has all of the address
		return 0, final{fmt.Errorf("%s is no address of a file", safeURL(t.URL))}
	}
	// The file's own compression is not the transport's to undo.
	request.Header.Set("Accept-Encoding", "identity")
	if done > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", done))
	}
	response, err := t.client.Do(request)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) { // whose text has all of the address
			err = of.Err
		}
		unusable := strings.Contains(err.Error(), "unsupported protocol") || errors.Is(err, errRedirects)
		if err = fmt.Errorf("%s: %w", safeURL(t.URL), err); unusable {
			err = final{err}
		}
		return 0, err
	}
	defer response.Body.Close()
	total, err := t.plausible(response, done)
	if err != nil {
		return 0, err
	}
	switch {
	case response.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return 0, nil // nothing is lacking, or the file is wrong: its checksum tells
	case response.StatusCode == http.StatusPartialContent || done == 0:
		return t.copy(ctx, cancel, t.lock, response.Body, done, total)
	}
	if !t.told {
		t.told = true
		t.note("the server cannot resume: it sends all of the file again; what had arrived is kept until then")
	}
	file, err := foreign.OpenFile(t.whole(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return 0, final{err}
	}
	n, failure := t.copy(ctx, cancel, file, response.Body, 0, total)
	if failure == nil && t.check(ctx, t.whole()) != nil {
		failure = final{fmt.Errorf("%s does not serve the official file; what had arrived is kept", safeURL(t.URL))}
		n = 0
	}
	if failure != nil && n <= done {
		return 0, errors.Join(failure, file.Close(), os.Remove(t.whole()))
	}
	if err := durable.Lock(file); err != nil {
		return 0, final{errors.Join(err, file.Close())}
	}
	if err := durable.Rename(t.whole(), t.part); err != nil {
		return 0, final{errors.Join(err, file.Close())}
	}
	t.lock.Close()
	t.lock = file
	return n - done, failure
}

// plausible refuses answers that cannot be of the file, and returns its size, 0 where
// nobody knows it.
func (t *transfer) plausible(r *http.Response, done int64) (int64, error) {
	from := safeURL(t.URL)
	refuse := func(format string, args ...any) (int64, error) {
		return 0, final{fmt.Errorf("%s "+format, append([]any{from}, args...)...)}
	}
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		if done < t.Size {
			return refuse("has no byte %d of a file of %d: it does not serve the official file; what had arrived is kept", done, t.Size)
		}
		return t.Size, nil
	case r.StatusCode >= 500 || r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout:
		return 0, fmt.Errorf("%s answered %s: try again later or give the URL of a mirror", from, r.Status)
	case r.StatusCode != http.StatusOK && r.StatusCode != http.StatusPartialContent:
		return refuse("answered %s: try again later or give the URL of a mirror", r.Status)
	case kind == "text/html":
		return refuse("answered with a web page, not with the file: it may ask to sign in; give the URL of a mirror")
	}
	total := t.Size
	if r.StatusCode == http.StatusPartialContent {
		var first, last, all int64
		got := r.Header.Get("Content-Range")
		if n, _ := fmt.Sscanf(got, "bytes %d-%d/%d", &first, &last, &all); n < 2 || first != done {
			return refuse("answered with range %q to a request from byte %d on: remove %s to start over", got, done, t.part)
		}
		if all > 0 && t.Size > 0 && t.Accept == nil && all != t.Size {
			return refuse("has a file of %d bytes, the official one has %d; what had arrived is kept", all, t.Size)
		}
		if all > 0 && (t.Size == 0 || t.Accept != nil) {
			total = all
		}
	} else if n := r.ContentLength; n >= 0 {
		if t.Size > 0 && t.Accept == nil && n != t.Size {
			return refuse("has a file of %d bytes, the official one has %d", n, t.Size)
		}
		total = n
	}
	return total, nil
}

// copy appends the body to the file, of which done bytes are there, and returns how
// many it brought.
func (t *transfer) copy(ctx context.Context, cancel context.CancelCauseFunc, file *os.File, body io.Reader, done, total int64) (int64, error) {
	if _, err := file.Seek(done, io.SeekStart); err != nil {
		return 0, final{err}
	}
	most := total
	if most == 0 {
		most = mostUnknown
	}
	w := &progressWriter{w: file, done: done, total: total, report: t.report}
	watch := time.NewTicker(t.pace.window)
	defer watch.Stop()
	var seen atomic.Int64
	stop := make(chan struct{})
	var watcher fault.Group
	defer watcher.Wait()
	defer close(stop)
	watcher.Go(func() {
		for {
			select {
			case <-watch.C:
				if n := seen.Swap(0); n < t.pace.least {
					cancel(fmt.Errorf("%w: %d bytes in %v", errSlow, n, t.pace.window))
				}
			case <-stop:
				return
			}
		}
	})
	// More than the file's size would be another file: one byte more tells.
	_, err := io.Copy(w, io.LimitReader(countingReader{body, &seen}, most-done+1))
	brought := w.done - done
	switch {
	case err != nil && w.failed:
		return brought, final{err}
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && w.done < total:
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return brought, fmt.Errorf("transfer ended after %d of %d bytes, fetch again to continue: %w", w.done, total, err)
	}
	if err := file.Sync(); err != nil {
		return brought, final{err}
	}
	return brought, nil
}

// countingReader counts what passes through it.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// secrets are what an address may hold that nobody else should read: who signs in,
// and the values of its query.
var secrets = regexp.MustCompile(`(://)[^/?#\s"]*@|(\?)[^\s"]+`)

// safeText is a text without the secrets of addresses in it.
func safeText(text string) string { return secrets.ReplaceAllString(text, "$1$2…") }

// safeURL is an address without its secrets.
func safeURL(address string) string {
	address, _, _ = strings.Cut(address, "#")
	return safeText(address)
}

// safeError is an error whose text has no secrets.
type safeError struct {
	text string
	err  error
}

func (e safeError) Error() string { return e.text }
func (e safeError) Unwrap() error { return e.err }

// safe words an error of the transfer without the secrets of its address.
func (t *transfer) safe(err error) error {
	return safeError{safeText(err.Error()), err}
}

// progressWriter counts and reports what passes through it.
type progressWriter struct {
	w           io.Writer
	done, total int64
	report      func(done, total int64)
	failed      bool // rather than what it reads from
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.done += int64(n)
	p.failed = err != nil
	if p.report != nil {
		p.report(p.done, p.total)
	}
	return n, err
}
