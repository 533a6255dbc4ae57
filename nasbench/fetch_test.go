package nasbench

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestFetchRefuses: what a site serves under the name of a published file is kept
// only if it is that; package internal/fetch tests the transfer.
func TestFetchRefuses(t *testing.T) {
	var asked []string
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		w.Write([]byte("another file"))
	}))
	defer site.Close()
	for _, full := range []bool{false, true} {
		dir := t.TempDir()
		_, err := Fetch(context.Background(), dir, FetchOptions{Full: full, URL: site.URL + "/mirror"})
		if !errors.Is(err, ErrChecksum) || !strings.HasPrefix(err.Error(), "fetch NAS-Bench-101: ") {
			t.Errorf("got %v, want an ErrChecksum", err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("the folder holds %v, %v", entries, err)
		}
	}
	if len(asked) != 2 || asked[0] != "/mirror" {
		t.Errorf("asked for %q", asked)
	}
	for full, name := range map[bool]string{false: "nasbench_only108.tfrecord", true: "nasbench_full.tfrecord"} {
		f := publishedFile(full)
		if f.Name != name || path.Base(f.URL) != name || !slices.Contains(publishedSums, f.Sum) {
			t.Errorf("%s is %+v", name, f)
		}
	}
}
