package nasbench

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"
	"sync"

	"github.com/mattn/go-sqlite3"

	"github.com/nb1shot/nb1shot/spaces/cell"
)

// readers is a set of connections for looking up single cells. They go past
// database/sql, which takes nearly as long for a row as SQLite itself.
type readers struct {
	database *database
	// A place is a reader that waits for work or is at work, one that is not made yet, or one
	// that can no longer be made, since another file has replaced the table.
	places int
	idle   chan *reader
	spare  chan struct{}
	lost   chan struct{}
	once   sync.Once
}

// reader is a connection with a prepared statement and the memory of one lookup.
type reader struct {
	conn   driver.Conn
	find   driver.StmtQueryContext
	key    cell.Hash
	args   []driver.NamedValue // key
	row    []driver.Value
	sealed []byte // what the seal is of
}

// newReaders returns readers of which conn is the first.
func newReaders(d *database, conn *sqlite3.SQLiteConn) (*readers, error) {
	n := runtime.GOMAXPROCS(0)
	s := &readers{database: d, places: n, idle: make(chan *reader, n), spare: make(chan struct{}, n), lost: make(chan struct{}, n)}
	first, err := newReader(conn)
	if err != nil {
		return nil, err
	}
	s.idle <- first
	for range n - 1 {
		s.spare <- struct{}{}
	}
	return s, nil
}

// newReader takes over the connection.
func newReader(conn *sqlite3.SQLiteConn) (*reader, error) {
	stmt, err := conn.Prepare(`SELECT hash, seal, vertices, edges, ops, params, spaces, test_error, valid_error, seconds, runs FROM cell WHERE hash = ?`)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r := &reader{conn: conn, find: stmt.(*sqlite3.SQLiteStmt), row: make([]driver.Value, 11)}
	r.args = []driver.NamedValue{{Ordinal: 1, Value: r.key[:]}}
	return r, nil
}

// close waits for the lookups under way; later ones fail.
func (s *readers) close() error {
	var all []error
	s.once.Do(func() {
		for range s.places {
			select {
			case r := <-s.idle:
				all = append(all, r.find.(io.Closer).Close(), r.conn.Close())
			case <-s.spare:
			case <-s.lost:
			}
		}
		close(s.idle)
	})
	return errors.Join(all...)
}

// take returns a reader that has no work, or nil where the table is closed. It makes
// one only where all others are at work: what is made later may find another file
// in the place of the table.
func (s *readers) take() (*reader, error) {
	select {
	case r := <-s.idle:
		return r, nil
	default:
	}
	select {
	case r := <-s.idle:
		return r, nil
	case <-s.spare:
	}
	conn, err := s.database.open()
	if errors.Is(err, errReplaced) || errors.Is(err, fs.ErrNotExist) {
		s.lost <- struct{}{}
		return <-s.idle, nil
	}
	var r *reader
	if err == nil {
		r, err = newReader(conn)
	}
	if err != nil {
		s.spare <- struct{}{}
	}
	return r, err
}

// row returns a cell's row and its packed runs, or ErrUnknownHash.
func (s *readers) row(h cell.Hash) (c row, runs []byte, err error) {
	r, err := s.take()
	if err != nil {
		return row{}, nil, err
	}
	if r == nil {
		return row{}, nil, errors.New("the table is closed")
	}
	defer func() { s.idle <- r }()
	return r.lookUp(h)
}

// lookUp is quick, a few pages at most, so no context ends it.
func (r *reader) lookUp(h cell.Hash) (c row, runs []byte, err error) {
	r.key = h
	rows, err := r.find.QueryContext(context.Background(), r.args)
	if err != nil {
		return row{}, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	switch err := rows.Next(r.row); {
	case err == io.EOF:
		return row{}, nil, ErrUnknownHash
	case err != nil:
		return row{}, nil, err
	}
	if c, runs, err = r.parse(); err == nil && c.hash != h {
		err = fmt.Errorf("the row found is of cell %v: %w", c.hash, ErrChanged)
	}
	return c, runs, err
}

// parse reads the row that was found, and compares its seal.
func (r *reader) parse() (c row, runs []byte, err error) {
	var hash, stated []byte
	var vertices, edges, ops, parameters, members int64
	if err := assign(r.row, &hash, &stated, &vertices, &edges, &ops, &parameters, &members); err != nil {
		return row{}, nil, err
	}
	for _, n := range [...]int64{vertices, edges, ops, parameters} {
		if n < 0 || n > math.MaxInt32 {
			return row{}, nil, fmt.Errorf("%d stands in the row: %w", n, ErrChanged)
		}
	}
	if len(hash) != len(c.hash) || members < 0 || members > math.MaxUint8 {
		return row{}, nil, ErrChanged
	}
	copy(c.hash[:], hash)
	c.packedCell = packedCell{uint32(vertices), uint32(edges), uint32(ops)}
	c.parameters, c.spaces = int(parameters), spaceSet(members)
	for i, to := range []**float64{&c.testError, &c.validationError, &c.seconds} {
		switch x := r.row[7+i].(type) {
		case nil:
		case float64:
			*to = &x
		default:
			return row{}, nil, ErrChanged
		}
	}
	switch x := r.row[10].(type) {
	case nil:
	case []byte:
		runs = x
	default:
		return row{}, nil, ErrChanged
	}
	var seal [sealSize]byte
	if seal, r.sealed = c.seal(runs, r.sealed); !bytes.Equal(seal[:], stated) {
		return row{}, nil, ErrChanged
	}
	return c, runs, c.check()
}

// check verifies the ranges of a row's numbers.
func (r *row) check() error {
	for _, x := range [...]*float64{r.testError, r.validationError} {
		if x != nil && !isFraction(*x) {
			return fmt.Errorf("error of %v, want 0 to 1: %w", *x, ErrChanged)
		}
	}
	if r.seconds != nil && !(*r.seconds >= 0 && *r.seconds <= math.MaxFloat64) {
		return fmt.Errorf("%v s: %w", *r.seconds, ErrChanged)
	}
	return nil
}

// isFraction tells whether x is a number from 0 to 1.
func isFraction(x float64) bool { return x >= 0 && x <= 1 }
