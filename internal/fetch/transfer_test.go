package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/durable"
)

// serve serves the archive of start by a handler of its own, which gets the number of
// the request, from 0.
func serve(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, request int, content []byte)) (File, []byte) {
	t.Helper()
	a, s := start(t, &server{})
	var requests atomic.Int64
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(w, r, int(requests.Add(1))-1, s.content)
	}))
	t.Cleanup(h.Close)
	a.URL = h.URL
	return a, s.content
}

// whole sends all of the archive or the range that was asked for.
func whole(w http.ResponseWriter, r *http.Request, content []byte) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// stall sends so many bytes of the range that was asked for and then no more.
func stall(w http.ResponseWriter, r *http.Request, content []byte, n int) {
	from := 0
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	}
	w.Write(content[from:min(from+n, len(content))])
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// A server that falls silent, breaks off or fails for a while is asked again, for what
// is lacking.
func TestRetries(t *testing.T) {
	for name, handle := range map[string]func(w http.ResponseWriter, r *http.Request, request int, content []byte){
		"silent in the middle": func(w http.ResponseWriter, r *http.Request, request int, content []byte) {
			if request < 5 { // more often than there are pauses: each brings something
				stall(w, r, content, 50000)
				return
			}
			whole(w, r, content)
		},
		"silent from the start": func(w http.ResponseWriter, r *http.Request, request int, content []byte) {
			if request < 2 {
				<-r.Context().Done()
				return
			}
			whole(w, r, content)
		},
		"unavailable": func(w http.ResponseWriter, r *http.Request, request int, content []byte) {
			if request < 2 {
				http.Error(w, "no", http.StatusServiceUnavailable)
				return
			}
			whole(w, r, content)
		},
		"ends too early, in order": func(w http.ResponseWriter, r *http.Request, request int, content []byte) {
			if request == 0 {
				w.Write(content[:100000])
				w.(http.Flusher).Flush() // in chunks: no length
				return
			}
			whole(w, r, content)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, content := serve(t, handle)
			checkFetched(t, a, &server{content: content}, t.TempDir())
		})
	}
}

// What brings too little is given up after a few windows, and what came is kept.
func TestGivesUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		want   string
		handle func(w http.ResponseWriter, r *http.Request, request int, content []byte)
	}{
		{"byte for byte", "the server sends too little", func(w http.ResponseWriter, r *http.Request, _ int, content []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			for i := range content {
				if _, err := w.Write(content[i : i+1]); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}},
		{"head alone", "the server sends too little: 0 bytes", func(w http.ResponseWriter, r *http.Request, _ int, content []byte) { stall(w, r, content, 0) }},
		{"nothing", "timeout awaiting response headers", func(_ http.ResponseWriter, r *http.Request, _ int, _ []byte) { <-r.Context().Done() }},
		{"redirects", "more than 10 redirects", func(w http.ResponseWriter, r *http.Request, request int, _ []byte) {
			http.Redirect(w, r, fmt.Sprintf("/%d", request), http.StatusFound)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, _ := serve(t, test.handle)
			begin := time.Now()
			_, err := a.Fetch(context.Background(), t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), a.URL) && test.name == "redirects" {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if passed := time.Since(begin); passed > 20*quick.window {
				t.Errorf("gave up after %v", passed)
			}
		})
	}
}

// An answer that cannot be of the file takes nothing away.
func TestKeepsWhatArrived(t *testing.T) {
	const there = 150000
	for name, handle := range map[string]func(w http.ResponseWriter, r *http.Request, request int, content []byte){
		"a web page":            func(w http.ResponseWriter, _ *http.Request, _ int, _ []byte) { fmt.Fprint(w, "<html>sign in</html>") },
		"all of a shorter file": func(w http.ResponseWriter, _ *http.Request, _ int, content []byte) { w.Write(content[:1000]) },
		"all of a longer file": func(w http.ResponseWriter, _ *http.Request, _ int, content []byte) {
			w.Write(append(slices.Clone(content), 0))
		},
		"another file of its length": func(w http.ResponseWriter, _ *http.Request, _ int, content []byte) { w.Write(make([]byte, there/2)) },
		"all, but it breaks off": func(w http.ResponseWriter, _ *http.Request, _ int, content []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:there/2])
			panic(http.ErrAbortHandler)
		},
		"a range of a shorter file": func(w http.ResponseWriter, r *http.Request, _ int, content []byte) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content[:there+1000]))
		},
		"no such range": func(w http.ResponseWriter, r *http.Request, _ int, content []byte) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content[:there/2]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, archive := serve(t, handle)
			dir := t.TempDir()
			part := filepath.Join(dir, a.Name+".part")
			if err := os.WriteFile(part, archive[:there], 0o666); err != nil {
				t.Fatal(err)
			}
			if _, err := a.Fetch(context.Background(), dir, nil); err == nil || errors.Is(err, ErrChecksum) {
				t.Errorf("error %v", err)
			}
			if !bytes.Equal(content(t, part), archive[:there]) {
				t.Error("what had arrived is gone")
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("the folder holds %v, %v", entries, err)
			}
		})
	}
}

// A server that cannot resume is told of, once, and its longer transfer is kept.
func TestCannotResume(t *testing.T) {
	a, archive := serve(t, func(w http.ResponseWriter, _ *http.Request, request int, content []byte) {
		if request < 2 {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			w.Write(content[:100000*(request+1)])
			panic(http.ErrAbortHandler)
		}
		w.Write(content)
	})
	var notes []string
	a.Note = func(text string) { notes = append(notes, text) }
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, a.Name+".part"), make([]byte, 50000), 0o666); err != nil {
		t.Fatal(err)
	}
	checkFetched(t, a, &server{content: archive}, dir)
	if all := strings.Join(notes, "\n"); strings.Count(all, "cannot resume") != 1 || !strings.Contains(all, "trying again") {
		t.Errorf("notes %q", notes)
	}
}

// Neither errors nor notes tell who signs in, or the values of a query.
func TestSecrets(t *testing.T) {
	for name, handle := range map[string]func(w http.ResponseWriter, r *http.Request, request int, content []byte){
		"404": func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) { http.NotFound(w, r) },
		"http.StatusServiceUnavailable": func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) {
			http.Error(w, "no", http.StatusServiceUnavailable)
		},
		"page": func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) { fmt.Fprint(w, "<html>") },
		"wrong": func(w http.ResponseWriter, r *http.Request, _ int, content []byte) {
			w.Write(make([]byte, len(content)))
		},
		"redirects": func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		},
		"bad redirect": func(w http.ResponseWriter, r *http.Request, _ int, _ []byte) {
			w.Header().Set("Location", "http://me:hunter2@[::1/?key=hunter2")
			w.WriteHeader(302)
		},
		"closed": func(http.ResponseWriter, *http.Request, int, []byte) { panic(http.ErrAbortHandler) },
		"silent": func(_ http.ResponseWriter, r *http.Request, _ int, _ []byte) { <-r.Context().Done() },
		"nobody": nil, "no address": nil, "no scheme": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, _ := serve(t, handle)
			switch name {
			case "nobody":
				a.URL = "http://127.0.0.1:1/"
			case "no address":
				a.URL = "http://x\x7f/"
			case "no scheme":
				a.URL = "nowhere://x/"
			}
			a.URL = strings.Replace(a.URL, "://", "://me:hunter2@", 1) + "?key=hunter2&b=hunter2#hunter2"
			var said []string
			a.Note = func(text string) { said = append(said, text) }
			_, err := a.Fetch(context.Background(), t.TempDir(), nil)
			if err == nil {
				t.Fatal("no error")
			}
			if all := strings.Join(append(said, err.Error()), "\n"); strings.Contains(all, "hunter2") || strings.Contains(all, "me:") {
				t.Errorf("said %s", all)
			}
		})
	}
	if got, want := safeText(`get "https://u:p@h/a?b=c": lookup h: no`), `get "https://…h/a?…": lookup h: no`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A file of another checksum may be right all the same.
func TestAccept(t *testing.T) {
	a, s := start(t, &server{})
	a.Sum, a.Size = "0", 12345
	a.Accept = func(_ context.Context, path string) error {
		if !bytes.Equal(content(t, path), s.content) {
			return errors.New("other contents")
		}
		return nil
	}
	checkFetched(t, a, s, t.TempDir())
	s.content = make([]byte, 1000)
	a.Accept = func(context.Context, string) error { return errors.New("other contents") }
	if _, err := a.Fetch(context.Background(), t.TempDir(), nil); !errors.Is(err, ErrChecksum) {
		t.Errorf("error %v", err)
	}
}

// Two processes never write one file.
func TestOneAtATime(t *testing.T) {
	a, _ := start(t, &server{})
	dir := t.TempDir()
	other, err := a.open(filepath.Join(dir, a.Name+".part"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Fetch(context.Background(), dir, nil); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("error %v", err)
	}
	other.close()
	if _, err := a.Fetch(context.Background(), dir, nil); err != nil {
		t.Error(err)
	}
}
