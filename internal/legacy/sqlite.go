package legacy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	sqliteMagic = "SQLite format 3\x00"

	// sqliteHeader is how long the header of a database is, in which two octets say
	// whether it has a write-ahead log.
	sqliteHeader, sqliteModes = 100, 18

	// sqliteTime is how long a database may take: its schema is a program, and
	// somebody else's.
	sqliteTime = time.Minute

	// sqliteLength bounds each value, of those that a schema computes as well.
	sqliteLength = 1 << 20
)

// sqliteTiming reads a database of Python's dbm.sqlite3, from version 3.13 on, as it is in
// the file: what a crash left in a log beside it is not there. Nothing is looked at
// but one table. It changes data.
func sqliteTiming(ctx context.Context, data []byte) (_ map[string]time.Duration, err error) {
	if len(data) < sqliteHeader {
		return nil, fmt.Errorf("%s is cut short", timesFile)
	}
	// In memory there is no log. Python asks for one, and removes it in the end.
	data[sqliteModes], data[sqliteModes+1] = 1, 1

	ctx, cancel := context.WithTimeout(ctx, sqliteTime)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("read %s: %w", timesFile, err)
		}
	}()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_LENGTH, sqliteLength); err != nil {
		return nil, err
	}
	err = conn.Raw(func(driver any) error {
		return driver.(interface{ Deserialize([]byte) error }).Deserialize(data)
	})
	if err != nil {
		return nil, err
	}
	for _, guard := range []string{"PRAGMA trusted_schema=off", "PRAGMA query_only=on", "PRAGMA cell_size_check=on"} {
		if _, err := conn.ExecContext(ctx, guard); err != nil {
			return nil, err
		}
	}
	return sqliteDict(ctx, conn)
}

// sqliteDict reads the table Dict.
func sqliteDict(ctx context.Context, conn *sql.Conn) (map[string]time.Duration, error) {
	if err := checkDict(ctx, conn); err != nil {
		return nil, fmt.Errorf("look for the table Dict: %w", err)
	}
	rows, err := conn.QueryContext(ctx, "SELECT key, value FROM Dict WHERE length(value) <= ?", maxValue)
	if err != nil {
		return nil, fmt.Errorf("read the table Dict: %w", err)
	}
	defer func() { _ = rows.Close() }()
	timing := map[string]time.Duration{}
	for rows.Next() {
		var key, value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return nil, fmt.Errorf("read the table Dict: %w", err)
		}
		if err := addTiming(timing, key, value); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the table Dict: %w", err)
	}
	return timing, nil
}

// checkDict refuses a table Dict whose content is worked out, and not stored: it could
// be of any size.
func checkDict(ctx context.Context, conn *sql.Conn) error {
	var kind string
	var page, computed int
	err := conn.QueryRowContext(ctx, "SELECT type, rootpage FROM sqlite_schema WHERE name='Dict'").Scan(&kind, &page)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errors.New("there is none")
	case err != nil:
		return err //nolint:wrapcheck // its caller wraps it
	case kind != "table":
		return fmt.Errorf("it is a %s", kind)
	case page <= 0:
		return errors.New("it is a virtual table")
	}
	err = conn.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_xinfo('Dict') WHERE hidden <> 0").Scan(&computed)
	if err == nil && computed > 0 {
		err = errors.New("it has columns that are worked out")
	}
	return err //nolint:wrapcheck // likewise
}
