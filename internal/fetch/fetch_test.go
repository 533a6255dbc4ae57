package fetch

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/foreign"
)

// server serves an archive, the way its fields say, and records the ranges that
// it was asked for.
type server struct {
	content   []byte
	noRanges  bool // it answers with all of the archive, always
	status    int  // unless 0, it answers with this only
	breakAt   int  // unless 0, it drops the connection there
	stallAt   int  // unless 0, it sends no more from there
	wrongFrom bool // it answers with a range that was not asked for

	mu     sync.Mutex
	ranges []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.mu.Unlock()
	if s.status != 0 {
		http.Error(w, "no", s.status)
		return
	}
	if s.wrongFrom {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 1-%d/%d", len(s.content)-1, len(s.content)))
		w.WriteHeader(http.StatusPartialContent)
		return
	}
	if stop := s.breakAt + s.stallAt; stop > 0 {
		w.Header().Set("Content-Length", fmt.Sprint(len(s.content)))
		w.Write(s.content[:stop])
		w.(http.Flusher).Flush()
		if s.stallAt > 0 {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
	if s.noRanges {
		w.Write(s.content)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
}

// quick is a pace for tests.
var quick = pace{200 * time.Millisecond, 2000, []time.Duration{time.Millisecond, time.Millisecond}}

// start runs a server, of the same random content unless it has its own, and
// returns the archive that it serves.
func start(t *testing.T, s *server) (File, *server) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	if s.content == nil {
		for range 300000 {
			s.content = append(s.content, byte(r.Uint32()))
		}
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return File{Name: "a.tar.gz", URL: h.URL + "/somewhere", Sum: fmt.Sprintf("%x", md5.Sum(s.content)), Kind: "MD5", Hash: md5.New, Size: int64(len(s.content)), pace: &quick}, s
}

// content returns a file's content, nil where there is none.
func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return b
}

// checkFetched fetches, and checks that the archive is there and nothing else.
func checkFetched(t *testing.T, a File, s *server, dir string) {
	t.Helper()
	path, err := a.Fetch(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if path != filepath.Join(dir, a.Name) || !bytes.Equal(content(t, path), s.content) {
		t.Errorf("%s does not hold the archive", path)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

func TestFetch(t *testing.T) {
	a, s := start(t, &server{})
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var done []int64
	path, err := a.Fetch(context.Background(), dir, func(n, total int64) {
		if total != a.Size {
			t.Errorf("total %d, want %d", total, a.Size)
		}
		done = append(done, n)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(content(t, path), s.content) {
		t.Error("other content")
	}
	if len(done) < 2 || done[len(done)-1] != a.Size {
		t.Errorf("progress %v, want several steps to %d", done, a.Size)
	}
	// What is there is not fetched again.
	checkFetched(t, a, s, dir)
	if len(s.ranges) != 1 {
		t.Errorf("%d requests, want 1", len(s.ranges))
	}
}

func TestFetchResumes(t *testing.T) {
	for _, test := range []struct {
		name     string
		part     int // bytes that an earlier transfer left
		noRanges bool
		want     string // range asked for
	}{
		{"half", 150000, false, "bytes=150000-"},
		{"all", 300000, false, "bytes=300000-"},
		{"nothing", 0, false, ""},
		{"server without ranges", 150000, true, "bytes=150000-"},
		{"all, server without ranges", 300000, true, "bytes=300000-"},
		{"too much, server without ranges", 300001, true, "bytes=300001-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, s := start(t, &server{noRanges: test.noRanges})
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, a.Name+".part"), append(slices.Clone(s.content), 0)[:test.part], 0o666); err != nil {
				t.Fatal(err)
			}
			checkFetched(t, a, s, dir)
			if len(s.ranges) != 1 || s.ranges[0] != test.want {
				t.Errorf("ranges asked for: %q, want %q", s.ranges, test.want)
			}
		})
	}
}

func TestFetchInterrupted(t *testing.T) {
	a, s := start(t, &server{breakAt: 100000})
	dir := t.TempDir()
	_, err := a.Fetch(context.Background(), dir, nil)
	if err == nil || !strings.Contains(err.Error(), "100000 of 300000 bytes, fetch again to continue") {
		t.Fatalf("error %v", err)
	}
	if part := content(t, filepath.Join(dir, a.Name+".part")); !bytes.Equal(part, s.content[:100000]) {
		t.Fatalf("%d bytes were kept", len(part))
	}
	a, s = start(t, &server{})
	checkFetched(t, a, s, dir)
	if len(s.ranges) != 1 || s.ranges[0] != "bytes=100000-" {
		t.Errorf("ranges asked for: %q", s.ranges)
	}
}

func TestFetchCancelled(t *testing.T) {
	a, s := start(t, &server{stallAt: 100000})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := a.Fetch(ctx, dir, func(done, _ int64) {
		if done == 100000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if part := content(t, filepath.Join(dir, a.Name+".part")); !bytes.Equal(part, s.content[:100000]) {
		t.Errorf("%d bytes were kept", len(part))
	}
	a, s = start(t, &server{})
	checkFetched(t, a, s, dir)
}

func TestFetchWrongContent(t *testing.T) {
	for _, test := range []struct {
		name   string
		server *server
		part   []byte
		want   string
	}{
		{"a web page", &server{content: []byte("<html>sign in</html>")}, nil, "web page"},
		{"shorter", &server{content: make([]byte, 20)}, nil, "20 bytes, the official one has 300000"},
		{"longer", &server{content: make([]byte, 400000)}, nil, "400000 bytes, the official one has 300000"},
		{"as long", &server{content: make([]byte, 300000)}, nil, "checksum mismatch"},
		{"damaged part", &server{}, make([]byte, 1000), "checksum mismatch"},
		{"part too long", &server{}, make([]byte, 300001), "checksum mismatch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, _ := start(t, &server{})
			wrong, _ := start(t, test.server)
			a.URL = wrong.URL
			dir := t.TempDir()
			part := filepath.Join(dir, a.Name+".part")
			if test.part != nil {
				if err := os.WriteFile(part, test.part, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			_, err := a.Fetch(context.Background(), dir, nil)
			if err == nil || !strings.Contains(err.Error(), a.URL) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q that names the server", err, test.want)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
				t.Errorf("the folder still holds %v, %v", entries, err)
			}
		})
	}
}

func TestFetchErrors(t *testing.T) {
	a, _ := start(t, &server{})
	for _, test := range []struct {
		name   string
		server *server
		part   int
		want   string
	}{
		{"404", &server{status: 404}, 10, "404 Not Found"},
		{"503", &server{status: 503}, 10, "503 Service Unavailable"},
		{"another range", &server{wrongFrom: true}, 10, "bytes 1-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, s := start(t, test.server)
			dir := t.TempDir()
			part := filepath.Join(dir, a.Name+".part")
			if err := os.WriteFile(part, s.content[:test.part], 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := a.Fetch(context.Background(), dir, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), a.URL) {
				t.Errorf("error %v, want one with %q and the URL", err, test.want)
			}
			if len(content(t, part)) != test.part {
				t.Error("what an earlier transfer left is gone")
			}
		})
	}
	t.Run("other file in its place", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, a.Name)
		if err := os.WriteFile(path, []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Fetch(context.Background(), dir, nil); !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v", err)
		}
		if string(content(t, path)) != "mine" {
			t.Error("the file was touched")
		}
	})
	t.Run("folder is a file", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(dir, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Fetch(context.Background(), dir, nil); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("read-only folder", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Fetch(context.Background(), dir, nil); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), dir) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("full disk", func(t *testing.T) {
		var limit syscall.Rlimit // of files, which stands for that of a disk
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		small := syscall.Rlimit{Cur: 1000, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
		if _, err := a.Fetch(context.Background(), t.TempDir(), nil); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("error %v", err)
		}
	})
	for name, lay := range map[string]func(path string) error{
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		for _, end := range []string{"", ".part"} {
			t.Run(name+" as file"+end, func(t *testing.T) {
				dir := t.TempDir()
				if err := lay(filepath.Join(dir, a.Name+end)); err != nil {
					t.Fatal(err)
				}
				if _, err := a.Fetch(t.Context(), dir, nil); !errors.Is(err, foreign.ErrNotRegular) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
	t.Run("bad URL", func(t *testing.T) {
		f := a
		f.URL = "nowhere://x"
		if _, err := f.Fetch(context.Background(), t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("error %v", err)
		}
	})
}

// TestFetchUnknownSize: the server tells how large the file is.
func TestFetchUnknownSize(t *testing.T) {
	for name, part := range map[string]int{"all": 0, "rest": 150000} {
		t.Run(name, func(t *testing.T) {
			a, s := start(t, &server{})
			a.Size = 0
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, a.Name+".part"), s.content[:part], 0o666); err != nil {
				t.Fatal(err)
			}
			var last int64
			path, err := a.Fetch(context.Background(), dir, func(done, total int64) {
				if total != int64(len(s.content)) {
					t.Errorf("total %d, want %d", total, len(s.content))
				}
				last = done
			})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(content(t, path), s.content) || last != int64(len(s.content)) {
				t.Errorf("other content, or progress ended at %d", last)
			}
		})
	}
}
