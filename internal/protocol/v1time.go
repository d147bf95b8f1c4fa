package protocol

import (
	"math"
	"time"
)

// parseV1Time reads the time of a version 1 directive: a date, with a time of
// day or without, and without a zone in UTC. Words may follow where there is a
// time of day. Digits beyond the nanosecond are dropped. exact tells that there
// was a time of day; it is false where ok is.
func parseV1Time(arg []byte) (t time.Time, exact, ok bool) {
	p := timeParser{rest: arg}
	year, month, day := p.number(4, 4), 1, 1
	if p.skip('-') {
		month = p.number(1, 2)
		if p.skip('-') {
			day = p.number(1, 2)
		}
	}
	var hour, minute, second, nano int
	zone := time.UTC
	if len(p.rest) > 1 && (p.rest[0] == ' ' || p.rest[0] == 'T') && isDigit(p.rest[1]) {
		exact = true
		p.rest = p.rest[1:]
		hour = p.number(2, 2)
		if p.skip(':') {
			minute = p.number(2, 2)
			if p.skip(':') {
				second = p.number(1, 2)
				nano = p.fraction()
			}
		}
		zone = p.zone()
	}
	if p.bad || len(p.rest) > 0 && (!exact || !v1Space(p.rest[0])) {
		return time.Time{}, false, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, nano, zone)
	if t.Year() != year || t.Month() != time.Month(month) || t.Day() != day ||
		hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false, false
	}
	return t.UTC(), exact, true
}

// storable reports whether t has a form in version 2.
func storable(t time.Time) bool { return t.Unix() >= 0 && t.Unix() <= math.MaxUint32 }

// timeParser eats a time from its beginning.
type timeParser struct {
	rest []byte
	bad  bool
}

// skip eats c, if it is next.
func (p *timeParser) skip(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// number eats a number of so many digits.
func (p *timeParser) number(least, most int) (value int) {
	digits := 0
	for digits < most && digits < len(p.rest) && isDigit(p.rest[digits]) {
		value = 10*value + int(p.rest[digits]-'0')
		digits++
	}
	p.rest = p.rest[digits:]
	p.bad = p.bad || digits < least
	return value
}

// fraction eats a fraction of a second and returns nanoseconds.
func (p *timeParser) fraction() (nano int) {
	if !p.skip('.') && !p.skip(',') {
		return 0
	}
	digits, rest := leadingDigits(p.rest)
	p.rest = rest
	p.bad = p.bad || len(digits) == 0
	for i := range 9 {
		nano *= 10
		if i < len(digits) {
			nano += int(digits[i] - '0')
		}
	}
	return nano
}

// zone eats a time zone, if there is one.
func (p *timeParser) zone() *time.Location {
	sign := 1
	switch {
	case p.skip('-'):
		sign = -1
	case p.skip('+'):
	default:
		p.skip('Z')
		return time.UTC
	}
	seconds := p.number(2, 2) * 3600
	if p.skip(':') || len(p.rest) > 0 && isDigit(p.rest[0]) {
		seconds += p.number(2, 2) * 60
	}
	return time.FixedZone("", sign*seconds)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// leadingDigits cuts b behind the digits that it begins with.
func leadingDigits(b []byte) (digits, rest []byte) {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return b[:n], b[n:]
}
