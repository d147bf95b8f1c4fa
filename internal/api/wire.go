package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// JSON holds UTF-8, and ids of tests and reasons need not be. A byte that is not
// part of any character goes as this character, which no text has any use for, and
// the byte in two hexadecimal digits; and so do the bytes of the character itself.
const (
	escape    = "\uFFFF"
	hexDigits = "0123456789abcdef"
)

// encode returns a value as JSON on one line, with the newline. No string in it
// is changed on its way.
func encode(v any) ([]byte, error) {
	line, err := marshal(v)
	// The encoder says of what it replaces that it does, and of nothing else.
	if err == nil && (bytes.Contains(line, []byte(`\ufffd`)) || bytes.Contains(line, []byte(escape))) {
		line, err = marshal(changed(reflect.ValueOf(v), escapeText).Interface())
	}
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return line, nil
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// decode is the inverse of encode; v is a pointer. Keys that are unknown to it are
// of a newer version, and left out.
func decode(line []byte, v any) error {
	if err := json.Unmarshal(line, v); err != nil {
		return err
	}
	// Our own encoder writes the character as it is; another one may not.
	if bytes.Contains(line, []byte(escape)) ||
		bytes.Contains(line, []byte(`\u`)) && bytes.Contains(bytes.ToLower(line), []byte(`\uffff`)) {
		at := reflect.ValueOf(v).Elem()
		at.Set(changed(at, unescapeText))
	}
	return nil
}

// changed returns a copy of a value in which change was done to every string but
// those of values that have a JSON form of their own, which are shared.
func changed(v reflect.Value, change func(string) string) reflect.Value {
	if _, own := reflect.TypeAssert[json.Marshaler](v); own {
		return v
	}
	to := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		to.SetString(change(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			to.Set(reflect.New(v.Type().Elem()))
			to.Elem().Set(changed(v.Elem(), change))
		}
	case reflect.Interface:
		if !v.IsNil() {
			to.Set(changed(v.Elem(), change))
		}
	case reflect.Struct:
		to.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				to.Field(i).Set(changed(v.Field(i), change))
			}
		}
	case reflect.Slice:
		if !v.IsNil() {
			to.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				to.Index(i).Set(changed(v.Index(i), change))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			to.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for key, value := range v.Seq2() {
				to.SetMapIndex(changed(key, change), changed(value, change))
			}
		}
	default:
		to.Set(v)
	}
	return to
}

// escapeText makes UTF-8 of any string, for unescapeText.
func escapeText(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, escape) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		if c == utf8.RuneError && n == 1 || s[:n] == escape {
			for _, raw := range []byte(s[:n]) {
				b.WriteString(escape)
				b.WriteByte(hexDigits[raw>>4])
				b.WriteByte(hexDigits[raw&15])
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// unescapeText is the inverse of escapeText. What is no escape stays.
func unescapeText(s string) string {
	if !strings.Contains(s, escape) {
		return s
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, escape)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		s = after
		high, low := -1, -1
		if len(s) >= 2 {
			high, low = strings.IndexByte(hexDigits, s[0]), strings.IndexByte(hexDigits, s[1])
		}
		if high < 0 || low < 0 {
			b.WriteString(escape)
			continue
		}
		b.WriteByte(byte(high<<4 | low))
		s = s[2:]
	}
}
