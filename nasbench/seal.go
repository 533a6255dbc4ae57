package nasbench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// Two things tell that a table is as Import wrote it. Each row ends in a seal, the
// first bytes of the SHA-256 of its other columns, which every lookup compares: a
// row that was changed or damaged gives no answer. And the source has the SHA-256
// of the whole file, which Verify compares: it costs the reading of the file, and
// covers what a lookup does not see. Neither is a signature: who builds a table by
// a program of his own can write both. SQL alone cannot.

// sealSize is the length of a row's seal, in bytes.
const sealSize = 8

// ErrChanged reports a table that is not as Import wrote it.
var ErrChanged = errors.New("it is not as it was imported, but damaged or changed: import it anew")

// seal is the seal of what data holds.
func seal(data []byte) (s [sealSize]byte) {
	sum := sha256.Sum256(data)
	copy(s[:], sum[:])
	return s
}

// seal is that of a row of the table cell with the given packed runs. It uses the
// memory of buffer.
func (r *row) seal(runs, buffer []byte) (s [sealSize]byte, memory []byte) {
	b := append(buffer[:0], r.hash[:]...)
	for _, n := range [...]uint64{uint64(r.vertices), uint64(r.edges), uint64(r.ops), uint64(r.parameters), uint64(r.spaces)} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	for _, x := range [...]*float64{r.testError, r.validationError, r.seconds} {
		if x == nil {
			b = append(b, 0)
			continue
		}
		b = binary.LittleEndian.AppendUint64(append(b, 1), math.Float64bits(*x))
	}
	if runs != nil {
		b = append(append(b, 1), runs...)
	}
	return seal(b), b
}

// sourceRow is the row of the table source, without content and seal.
type sourceRow struct {
	kind, name, digest string
	bytes, records     int64
	partial            bool
}

func (r *sourceRow) seal() [sealSize]byte {
	return seal(fmt.Appendf(nil, "%q %q %q %d %d %t", r.kind, r.name, r.digest, r.bytes, r.records, r.partial))
}

// unsealed stands where the digest of the content goes until that is known. It
// occurs nowhere else in the file.
var unsealed = sha256.Sum256([]byte("the SHA-256 of a table of NAS-Bench-101 goes here"))

// writeContent replaces unsealed in a complete table by the digest of its content.
func writeContent(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	at, err := find(f, unsealed[:])
	if err != nil {
		return err
	}
	digest, err := contentDigest(context.Background(), f, at)
	if err == nil {
		_, err = f.WriteAt(digest[:], at)
	}
	return err
}

// contentDigest is the SHA-256 of a table whose own is at the given offset.
func contentDigest(ctx context.Context, f io.ReaderAt, at int64) (digest [sha256.Size]byte, err error) {
	sum := sha256.New()
	block := make([]byte, 1<<20)
	for offset := int64(0); ; offset += int64(len(block)) {
		if err := ctx.Err(); err != nil {
			return digest, err
		}
		n, err := f.ReadAt(block, offset)
		if err != nil && err != io.EOF {
			return digest, err
		}
		from, to := at-offset, at-offset+sha256.Size
		if from < int64(n) && to > 0 {
			clear(block[max(from, 0):min(to, int64(n))])
		}
		sum.Write(block[:n])
		if err == io.EOF {
			return [sha256.Size]byte(sum.Sum(nil)), nil
		}
	}
}

// find returns the offset of the first occurrence of what in a file.
func find(f io.ReaderAt, what []byte) (int64, error) {
	block := make([]byte, 1<<20)
	for offset := int64(0); ; offset += int64(len(block) - len(what)) {
		n, err := f.ReadAt(block, offset)
		if i := bytes.Index(block[:n], what); i >= 0 {
			return offset + int64(i), nil
		}
		if err == io.EOF {
			return 0, ErrChanged
		}
		if err != nil {
			return 0, err
		}
	}
}

// Content is the SHA-256 of the table's file, in hexadecimal, as it was imported.
// Unlike Source.Digest, that of the imported content, it tells apart tables of one
// source.
func (t *Table) Content() string { return hex.EncodeToString(t.content) }

// Verify reads the file of the table and compares its SHA-256 with the one that
// Import wrote. It fails with ErrChanged where they differ. A second call costs
// nothing.
func (t *Table) Verify(ctx context.Context) error {
	t.verifying.Lock()
	defer t.verifying.Unlock()
	if t.verified {
		return nil
	}
	at, err := find(t.file, t.content)
	var digest [sha256.Size]byte
	if err == nil {
		digest, err = contentDigest(ctx, t.file, at)
	}
	if err == nil && !bytes.Equal(digest[:], t.content) {
		err = fmt.Errorf("its SHA-256 is %x, at its import it was %x: %w", digest, t.content, ErrChanged)
	}
	if err != nil {
		return fmt.Errorf("verify table %s: %w", t.file.Name(), err)
	}
	t.verified = true
	return nil
}
