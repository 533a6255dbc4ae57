package nasbench

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/mattn/go-sqlite3"

	"github.com/nb1shot/nb1shot/nasbench/cell"
)

// readers is a set of connections for looking up single cells. They go past
// database/sql, which takes nearly as long for a row as SQLite itself.
type readers struct {
	uri  string
	idle chan *reader // its capacity is the number of readers; nil is one not yet made
	once sync.Once
}

// reader is a connection with a prepared statement and the memory of one lookup.
type reader struct {
	conn driver.Conn
	find driver.StmtQueryContext
	key  cell.Hash
	args []driver.NamedValue // key
	row  []driver.Value
}

// newReaders makes one reader, to find out whether it can be made.
func newReaders(uri string) (*readers, error) {
	n := runtime.GOMAXPROCS(0)
	s := &readers{uri: uri, idle: make(chan *reader, n)}
	first, err := newReader(uri)
	if err != nil {
		return nil, err
	}
	for range n - 1 {
		s.idle <- nil
	}
	s.idle <- first
	return s, nil
}

func newReader(uri string) (*reader, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(uri)
	if err != nil {
		return nil, err
	}
	stmt, err := conn.Prepare(`SELECT vertices, edges, ops, params, test_error, valid_error, seconds, runs FROM cell WHERE hash = ?`)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r := &reader{conn: conn, find: stmt.(*sqlite3.SQLiteStmt), row: make([]driver.Value, 8)}
	r.args = []driver.NamedValue{{Ordinal: 1, Value: r.key[:]}}
	return r, nil
}

// close waits for the lookups under way; later ones fail.
func (s *readers) close() error {
	var all []error
	s.once.Do(func() {
		for range cap(s.idle) {
			if r := <-s.idle; r != nil {
				all = append(all, r.find.(io.Closer).Close(), r.conn.Close())
			}
		}
		close(s.idle)
	})
	return errors.Join(all...)
}

// row returns a cell's row and its packed runs, or ErrUnknownHash.
func (s *readers) row(h cell.Hash) (c row, runs []byte, err error) {
	r, open := <-s.idle
	if !open {
		return row{}, nil, errors.New("the table is closed")
	}
	defer func() { s.idle <- r }()
	if r == nil {
		made, err := newReader(s.uri)
		if err != nil {
			return row{}, nil, err
		}
		r = made
	}
	return r.lookUp(h)
}

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
	for i, to := range []*uint32{&c.vertices, &c.edges, &c.ops} {
		n, ok := r.row[i].(int64)
		if !ok {
			return row{}, nil, fmt.Errorf("column %d is %T, want an integer", i+1, r.row[i])
		}
		*to = uint32(n)
	}
	parameters, ok := r.row[3].(int64)
	if !ok {
		return row{}, nil, fmt.Errorf("column params is %T, want an integer", r.row[3])
	}
	c.parameters = int(parameters)
	for i, to := range []**float64{&c.testError, &c.validationError, &c.seconds} {
		if x, ok := r.row[4+i].(float64); ok {
			*to = &x
		}
	}
	runs, _ = r.row[7].([]byte)
	return c, runs, nil
}
