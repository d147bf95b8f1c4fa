package legacy

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	sqliteMagic = "SQLite format 3\x00"

	// sqliteHeader is how long the header of a database is, in which two octets say
	// whether it has a write-ahead log.
	sqliteHeader, sqliteModes = 100, 18

	// sqliteTime is how long a database may take: its schema is a program, and
	// somebody else's.
	sqliteTime = time.Minute
)

// sqliteTiming reads a database of Python's dbm.sqlite3, from version 3.13 on, as it is in
// the file: what a crash left in a log beside it is not there. Nothing is looked at
// but one table.
func sqliteTiming(ctx context.Context, data []byte) (_ map[string]time.Duration, err error) {
	if len(data) < sqliteHeader {
		return nil, fmt.Errorf("%s is cut short", timesFile)
	}
	// In memory there is no log. Python asks for one, and removes it in the end.
	data = bytes.Clone(data)
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
	var kind string
	err := conn.QueryRowContext(ctx, "SELECT type FROM sqlite_schema WHERE name='Dict'").Scan(&kind)
	if err == nil && kind != "table" {
		err = fmt.Errorf("it is a %s", kind)
	}
	if err != nil {
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
		addTiming(timing, key, value)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the table Dict: %w", err)
	}
	return timing, nil
}
