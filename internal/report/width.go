package report

import "unicode"

const ellipsis = "..."

// columns returns how many columns a terminal needs for an escaped line, at
// most: where terminals differ, it is the larger number.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300 || r == 0xfe0f: // which makes an emoji of what precedes it
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide has what takes two columns: East Asian scripts and full-width forms,
// and the symbols that may be drawn as emoji.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, // Hangul Jamo
		{Lo: 0x231a, Hi: 0x23ff, Stride: 1}, // clocks, media controls
		{Lo: 0x25a0, Hi: 0x27bf, Stride: 1}, // shapes, symbols, dingbats
		{Lo: 0x2b00, Hi: 0x2bff, Stride: 1}, // arrows, stars
		{Lo: 0x2e80, Hi: 0xa4cf, Stride: 1}, // CJK, kana, Yi
		{Lo: 0xa960, Hi: 0xa97f, Stride: 1}, // Hangul Jamo
		{Lo: 0xac00, Hi: 0xd7ff, Stride: 1}, // Hangul
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1}, // CJK compatibility
		{Lo: 0xfe10, Hi: 0xfe1f, Stride: 1}, // vertical forms
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1}, // small forms
		{Lo: 0xff00, Hi: 0xff60, Stride: 1}, // full-width forms
		{Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x16fe0, Hi: 0x18dff, Stride: 1}, // Tangut, Khitan, Nushu
		{Lo: 0x1aff0, Hi: 0x1b2ff, Stride: 1}, // kana
		{Lo: 0x1d300, Hi: 0x1d37f, Stride: 1}, // counting rods
		{Lo: 0x1f000, Hi: 0x1faff, Stride: 1}, // emoji
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1}, // CJK
	},
}

// cutRight returns the beginning of s that fits into that many columns.
func cutRight(s string, width int) string {
	for i, r := range s {
		if width -= runeColumns(r); width < 0 {
			return s[:i]
		}
	}
	return s
}

// cutLeft returns s, or its end after an ellipsis, so that it fits into that
// many columns: the end of a test id tells more than its beginning.
func cutLeft(s string, width int) string {
	n := columns(s)
	if n <= width {
		return s
	}
	if width <= len(ellipsis) {
		return ellipsis[:max(0, width)]
	}
	for i, r := range s {
		if n <= width-len(ellipsis) {
			return ellipsis + s[i:]
		}
		n -= runeColumns(r)
	}
	return ellipsis
}
