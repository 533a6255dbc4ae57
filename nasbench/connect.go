package nasbench

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"

	"github.com/mattn/go-sqlite3"
)

// largestValue bounds a text or blob in a database of others, in bytes; SQLite
// refuses to read a larger one. Those of NAS-Bench-101 have less than 1 KiB.
const largestValue = 1 << 20

// database is an SQLite file that somebody else may have made, opened for reading.
type database struct {
	path string
	uri  string
	info os.FileInfo // of the file that was opened first
}

func newDatabase(path string, info os.FileInfo) (*database, error) {
	// Immutable: no lock files, so that a table may lie on a read-only disk and
	// many processes read it without waiting for each other.
	uri, err := databaseURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	return &database{path, uri, info}, err
}

// errReplaced reports that another file has taken the place of the one that was
// opened first.
var errReplaced = errors.New("it was replaced by another file: open it again")

// open makes a connection that trusts nothing in the file: no view or trigger may
// call a function that does anything, sizes are bounded, every page is checked.
func (d *database) open() (*sqlite3.SQLiteConn, error) {
	c, err := (&sqlite3.SQLiteDriver{}).Open(d.uri)
	if err != nil {
		return nil, err
	}
	conn := c.(*sqlite3.SQLiteConn)
	conn.SetLimit(sqlite3.SQLITE_LIMIT_LENGTH, largestValue)
	conn.SetLimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	_, err = conn.Exec(`PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0`, nil)
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(d.path); err == nil && !os.SameFile(info, d.info) {
			err = errReplaced
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Connect and Driver make it a connector of database/sql.
func (d *database) Connect(context.Context) (driver.Conn, error) { return d.open() }

func (d *database) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// assign stores the values of a row, each of which must be of the type of its
// pointer: *string, *[]byte, *int64, *bool for the integers 0 and 1.
func assign(row []driver.Value, to ...any) error {
	for i, p := range to {
		ok := false
		switch p := p.(type) {
		case *string:
			*p, ok = row[i].(string)
		case *[]byte:
			*p, ok = row[i].([]byte)
		case *int64:
			*p, ok = row[i].(int64)
		case *bool:
			var n int64
			n, ok = row[i].(int64)
			*p, ok = n == 1, ok && (n == 0 || n == 1)
		}
		if !ok {
			return fmt.Errorf("column %d holds %.20v: %w", i+1, row[i], ErrChanged)
		}
	}
	return nil
}

// collect returns the rows of a query, of which there must not be more than most.
func collect(conn *sqlite3.SQLiteConn, query string, columns, most int) (all [][]driver.Value, err error) {
	rows, err := conn.Query(query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		row := make([]driver.Value, columns)
		switch err := rows.Next(row); {
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, err
		case len(all) == most:
			return nil, fmt.Errorf("more than %d rows", most)
		}
		all = append(all, row)
	}
}
