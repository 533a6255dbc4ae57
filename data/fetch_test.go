package data

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nb1shot/nb1shot/internal/fetch"
)

// An archive that somebody packed anew, with the official batches in another order, is as
// good as the official one; one with other batches is removed.
func TestFetchRepacked(t *testing.T) {
	c := smallCollections()[0]
	entries := batchEntries(c.formats[0], c.content)
	slices.Reverse(entries)
	repacked := pack(entries)
	changed := slices.Clone(entries)
	changed[0].content = bytes.Repeat([]byte{1}, len(changed[0].content)) // the last batch
	served := repacked
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(served))
	}))
	defer site.Close()

	dir := t.TempDir()
	fetched := func() (string, error) {
		return fetchArchive(t.Context(), dir, FetchOptions{URL: site.URL}, officialCIFAR10, c.collection)
	}
	path, err := fetched()
	if err != nil || path != filepath.Join(dir, officialCIFAR10.Name) {
		t.Fatalf("%s, %v", path, err)
	}
	p, _, err := open(t.Context(), path, []collection{c.collection})
	if err != nil {
		t.Fatal(err)
	}
	c.check(t, p)
	served = nil // what is there is good
	if again, err := fetched(); err != nil || again != path {
		t.Errorf("again: %s, %v", again, err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"other batches": pack(changed), "a batch is missing": pack(entries[:3]), "half of it": repacked[:len(repacked)/2]} {
		served = content
		if path, err := fetched(); !errors.Is(err, ErrChecksum) {
			t.Errorf("%s: %s, %v, want %v", name, path, err, ErrChecksum)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: it leaves %v, %v", name, left, err)
		}
	}
}

// An archive of CIFAR-100 whose files no checksum covers is not what was asked for.
func TestFetchUncovered(t *testing.T) {
	c := smallCollections()[1]
	for i, f := range c.formats {
		site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(pack(append(batchEntries(f, c.content), entry{"more", nil}))))
		}))
		defer site.Close()
		_, err := fetchArchive(t.Context(), t.TempDir(), FetchOptions{URL: site.URL}, officialCIFAR100, c.collection)
		if binary := i == 0; binary != errors.Is(err, ErrChecksum) || !binary && err != nil {
			t.Errorf("%s form: %v", f.name, err)
		}
	}
}

// SVHN is two files in a folder; the second is asked for only when the first is right.
func TestFetchFiles(t *testing.T) {
	content := map[string]string{"/m/one.mat": "the first", "/m/two.mat": "another"}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "key=1" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(content[r.URL.Path])))
	}))
	defer site.Close()
	var files []fetch.File
	for _, name := range []string{"one.mat", "two.mat"} {
		text := content["/m/"+name]
		files = append(files, fetch.File{Name: name, URL: "http://127.0.0.1:1/", Kind: "MD5", Hash: md5.New, Size: int64(len(text)), Sum: fmt.Sprintf("%x", md5.Sum([]byte(text)))})
	}
	dir := filepath.Join(t.TempDir(), "new", "svhn")
	var done, total int64
	options := FetchOptions{URL: site.URL + "/m?key=1", Progress: func(d, n int64) { done, total = d, n }}
	for range 2 {
		if err := fetchFiles(t.Context(), dir, options, files); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range files {
		if raw, err := os.ReadFile(filepath.Join(dir, f.Name)); err != nil || string(raw) != content["/m/"+f.Name] {
			t.Errorf("%s: %q, %v", f.Name, raw, err)
		}
	}
	if done != 16 || total != 16 {
		t.Errorf("progress %d of %d, want 16 of 16", done, total)
	}
	if err := fetchFiles(t.Context(), dir, FetchOptions{URL: "http://me:secret@[/"}, files); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a URL that is none: %v", err)
	}
	content["/m/one.mat"] = "the thirst"[:9]
	if err := fetchFiles(t.Context(), t.TempDir(), options, files); !errors.Is(err, ErrChecksum) {
		t.Errorf("damaged: %v", err)
	}
	if _, err := Fetch(t.Context(), t.TempDir(), "mnist", FetchOptions{}); err == nil || !strings.Contains(err.Error(), "fetch mnist: want one of") {
		t.Errorf("another data set: %v", err)
	}
}
