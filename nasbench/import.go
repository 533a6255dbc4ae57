package nasbench

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/nb1shot/nb1shot/internal/durable"
	"github.com/nb1shot/nb1shot/internal/foreign"
)

// The SHA-256 sums that NAS-Bench-101's authors publish with their two files.
const (
	sumOnly108 = "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1"
	sumFull    = "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c"
)

var publishedSums = []string{sumOnly108, sumFull}

//go:embed schema.sql
var schema string

// Import builds the table dst from src, a file of NAS-Bench-101 (TFRecord) or a
// means-only TSV, plain or gzipped, or the SQLite file that NNI made of
// NAS-Bench-101; which, is seen from the content. Every cell
// is hashed anew and its hash compared with the stored one. progress, if not
// nil, is called now and then with the bytes of src read so far and in all.
//
// The table is built in a temporary file beside dst and renamed, so that dst is
// replaced by a complete table or left as it was; a failed or cancelled import
// leaves no file behind. Wrong or truncated content is a *CorruptError.
func Import(ctx context.Context, src, dst string, progress func(read, size int64)) error {
	return importFile(ctx, src, dst, false, progress)
}

// ImportSpaces is Import, but keeps only the cells that a search in one of the
// three spaces can reach. All of src is verified all the same.
func ImportSpaces(ctx context.Context, src, dst string, progress func(read, size int64)) error {
	return importFile(ctx, src, dst, true, progress)
}

func importFile(ctx context.Context, src, dst string, partial bool, progress func(read, size int64)) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("import NAS-Bench-101: %w", err)
		}
	}()
	file, err := foreign.Open(ctx, src, MaxSource)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if old, err := os.Stat(dst); err == nil && os.SameFile(info, old) {
		return fmt.Errorf("%s is both the source and the table", src)
	}
	temp, err := durable.CreateTemp(filepath.Dir(dst), "."+filepath.Base(dst)+"-")
	if err != nil {
		return err
	}
	defer temp.Close()           // which SQLite must have done with: it locks it, too
	defer os.Remove(temp.Name()) // fails once renamed
	if err := temp.Chmod(0o644); err != nil {
		return err
	}
	read := &content{raw: countingReader{r: file}, sum: sha256.New()}
	check := func() error {
		if progress != nil {
			progress(read.raw.n.Load(), info.Size())
		}
		return ctx.Err()
	}
	if err := fillTable(ctx, temp.Name(), src, read, partial, check); err != nil {
		return err
	}
	if err := writeContent(temp.Name()); err != nil {
		return err
	}
	if err := durable.Sync(temp.Name()); err != nil {
		return err
	}
	return durable.Rename(temp.Name(), dst)
}

// MaxSource bounds what is imported, in bytes, as it is and uncompressed: the
// largest, the full NAS-Bench-101, has 2 GB.
const MaxSource = 16 << 30

// content is the uncompressed content of a file, hashed as it is read.
type content struct {
	raw countingReader // the file
	all countingReader // its content
	sum hash.Hash

	zipped bool
}

type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// open returns the content behind a buffer.
func (c *content) open() (*bufio.Reader, error) {
	const size = 1 << 20
	buffered := bufio.NewReaderSize(&c.raw, size)
	c.all.r = buffered
	if magic, _ := buffered.Peek(3); bytes.Equal(magic, []byte{0x1f, 0x8b, 8}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		c.all.r, c.zipped = foreign.Limit(unzipped, MaxSource), true
	}
	return bufio.NewReaderSize(io.TeeReader(&c.all, c.sum), size), nil
}

// fillTable writes the table of the content of src into the empty file temp. It
// calls check now and then, and stops with its error.
func fillTable(ctx context.Context, temp, src string, read *content, partial bool, check func() error) (err error) {
	uri, err := databaseURI(temp, url.Values{"_journal_mode": {"OFF"}, "_synchronous": {"OFF"}, "_locking_mode": {"EXCLUSIVE"}, "_cache_size": {"-32768"}})
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", uri)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(schema); err != nil {
		return fmt.Errorf("create table: %w", err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	tx, err := conn.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after the commit
	w, err := newWriter(conn, tx, src, partial, check)
	if err != nil {
		return err
	}
	defer w.close()
	in, err := read.open()
	if err != nil {
		return err
	}
	start, err := in.Peek(foreign.PrefixSize)
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) { // a gzip file cut short tells so where it ends
		return err
	}
	kind := KindMeans
	switch what := foreign.Identify(start); {
	case bytes.HasPrefix(start, []byte(sqliteMagic)) && read.zipped:
		return fmt.Errorf("%s is a compressed SQLite file, which cannot be read in place: unpack it first", src)
	case bytes.HasPrefix(start, []byte(sqliteMagic)):
		kind = KindNNI
		err = w.addTrials(ctx, in)
	case what == foreign.TFRecord || what == foreign.Binary: // the latter may be damaged, and where, is told
		kind = KindSynthetic
		err = w.addRecords(in)
	case what == foreign.Text:
		err = w.addMeans(in)
	default:
		packed := ""
		if read.zipped {
			packed = "compressed by gzip, "
		}
		return fmt.Errorf("%s: %s%w", src, packed, foreign.Mistaken(start, "NAS-Bench-101 as a TFRecord file, NNI's nasbench101.db, or a TSV of means"))
	}
	if err != nil {
		return err
	}
	if w.records == 0 {
		return &CorruptError{src, 0, "no records"}
	}
	digest := hex.EncodeToString(read.sum.Sum(nil))
	if slices.Contains(publishedSums, digest) {
		kind = KindNASBench101
	}
	if err := w.finish(); err != nil {
		return err
	}
	r := sourceRow{kind, filepath.Base(src), digest, read.all.n.Load(), int64(w.records), partial}
	seal := r.seal()
	if _, err := tx.Exec(`INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		r.kind, r.name, r.digest, r.bytes, r.records, r.partial, unsealed[:], seal[:]); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	// Last, so that no incomplete file passes for a table.
	_, err = conn.ExecContext(context.Background(), fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	return err
}

// databaseURI returns how SQLite is told to open the file at path with the given
// parameters.
func databaseURI(path string, parameters url.Values) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	uri := url.URL{Scheme: "file", Path: path, RawQuery: parameters.Encode()}
	return uri.String(), nil
}

// Published tells whether a digest is that of a file which NAS-Bench-101's authors
// published.
func Published(digest string) bool { return slices.Contains(publishedSums, digest) }
