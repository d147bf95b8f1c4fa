package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// LeftOutError is returned where a list that goes to no terminal had lines left
// out, because a newline in them would have made two of one. The rest was
// written.
type LeftOutError struct {
	Count int
}

// Error says how many lines are missing and what shows them.
func (e *LeftOutError) Error() string {
	return fmt.Sprintf("%s left out, with a newline in the test id: a terminal is shown everything, and --json has it",
		count(e.Count, "line", "lines"))
}

func leftOut(n int) error {
	if n == 0 {
		return nil
	}
	return &LeftOutError{Count: n}
}

// WriteIDs writes test ids, one a line: escaped for a terminal, else raw. It
// returns a *LeftOutError if it had to leave out some.
func WriteIDs(w io.Writer, ids []string, toTerminal bool) error {
	var dst []byte
	missing := 0
	for _, id := range ids {
		if !toTerminal && hasNewline(id) {
			missing++
			continue
		}
		dst = append(quoter(toTerminal).line(dst, id), '\n')
	}
	if err := write(w, dst); err != nil {
		return err
	}
	return leftOut(missing)
}

// WriteTable writes rows of cells, the first of which are the headings, in
// columns, as testrepository does: escaped for a terminal, else raw. Without
// rows it writes nothing. It returns a *LeftOutError if it had to leave out
// rows.
func WriteTable(w io.Writer, rows [][]string, toTerminal bool) error {
	lines, missing := shownRows(rows, toTerminal)
	var widths []int
	for _, row := range lines {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], cellWidth(cell, toTerminal))
		}
	}
	var dst []byte
	for i, row := range lines {
		dst = appendRow(dst, row, widths, toTerminal)
		if i > 0 {
			continue
		}
		rules := make([]string, len(widths))
		for j, n := range widths {
			rules[j] = strings.Repeat("-", n)
		}
		dst = appendRow(dst, rules, widths, toTerminal)
	}
	if err := write(w, dst); err != nil {
		return err
	}
	return leftOut(missing)
}

// shownRows returns the rows as they are to be shown, and how many can't be.
func shownRows(rows [][]string, toTerminal bool) (shown [][]string, missing int) {
	for _, row := range rows {
		cells := make([]string, len(row))
		broken := false
		for i, cell := range row {
			cells[i] = cell
			if toTerminal {
				cells[i] = EscapeLine(cell)
			}
			broken = broken || hasNewline(cells[i])
		}
		if broken {
			missing++
			continue
		}
		shown = append(shown, cells)
	}
	return shown, missing
}

func cellWidth(cell string, toTerminal bool) int {
	if toTerminal {
		return columns(cell)
	}
	return utf8.RuneCountInString(cell)
}

func appendRow(dst []byte, row []string, widths []int, toTerminal bool) []byte {
	for i, cell := range row {
		dst = append(dst, cell...)
		if i == len(row)-1 {
			break
		}
		for range widths[i] - cellWidth(cell, toTerminal) + 2 {
			dst = append(dst, ' ')
		}
	}
	return append(dst, '\n')
}

// Timing is how long a test took.
type Timing struct {
	ID       string
	Profile  string // empty for the default one, and where it goes without saying
	Duration time.Duration
}

// WriteSlowest writes a table of tests and how long they took, which the
// caller has sorted with the slowest first; it is WriteTable otherwise. Without
// timings it writes nothing.
func WriteSlowest(w io.Writer, timings []Timing, toTerminal bool) error {
	if len(timings) == 0 {
		return nil
	}
	const precision = 3
	digits := len(strconv.Itoa(int(timings[0].Duration.Seconds())))
	rows := [][]string{{"Test id", "Runtime (s)"}}
	for _, t := range timings {
		seconds := fmt.Sprintf("%*.*f", digits+1+precision, precision, t.Duration.Seconds())
		rows = append(rows, []string{withProfile(t.ID, t.Profile), seconds})
	}
	return WriteTable(w, rows, toTerminal)
}

// Value is a number or a word with its name.
type Value struct {
	Name  string
	Value any
}

// WriteValues writes values of testr's own in one line.
func WriteValues(w io.Writer, values ...Value) error {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = fmt.Sprintf("%s=%v", v.Name, v.Value)
	}
	return write(w, []byte(strings.Join(words, ", ")+"\n"))
}

func write(w io.Writer, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := w.Write(p); err != nil {
		return fmt.Errorf("show the list: %w", err)
	}
	return nil
}
