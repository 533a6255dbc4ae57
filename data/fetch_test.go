package data

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// An archive that somebody packed anew, with the official batches in another order, is as
// good as the official one; one with other batches is removed.
func TestFetchRepacked(t *testing.T) {
	formats, files := smallFormats()
	entries := batchEntries(formats[0], files)
	slices.Reverse(entries)
	repacked := pack(entries)
	changed := slices.Clone(entries)
	changed[0].content = bytes.Repeat([]byte{1}, len(changed[0].content))
	served := repacked
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(served))
	}))
	defer site.Close()

	dir := t.TempDir()
	fetched := func() (string, error) {
		return fetchAs(t.Context(), dir, FetchOptions{URL: site.URL}, officialArchive, formats)
	}
	path, err := fetched()
	if err != nil || path != filepath.Join(dir, officialArchive.Name) {
		t.Fatalf("%s, %v", path, err)
	}
	c, err := openCIFAR(t.Context(), path, formats)
	if err != nil {
		t.Fatal(err)
	}
	checkSmall(t, c)
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
