package store

import (
	"bytes"
	"encoding/json"
)

// findKey returns the string under "key" in obj, which must be a valid JSON object. It looks only at the outermost fields and
// decodes nothing else; encoding/json would also take "KEY", and the last of two.
func findKey(obj []byte) (string, error) {
	var raw []byte
	for i := skipSpace(obj, 1); obj[i] != '}'; {
		nameEnd := skipString(obj, i)
		name := obj[i:nameEnd]
		i = skipSpace(obj, nameEnd)
		i = skipSpace(obj, i+1) // the colon
		end := skipValue(obj, i)
		if isKey(name) {
			if raw != nil {
				return "", ErrTwoKeys
			}
			if obj[i] != '"' {
				return "", ErrKeyType
			}
			raw = obj[i:end]
		}
		if i = skipSpace(obj, end); obj[i] == ',' {
			i = skipSpace(obj, i+1)
		}
	}
	if raw == nil {
		return "", ErrNoKey
	}
	return unquote(raw), nil
}

func isKey(quoted []byte) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted) == `"key"`
	}
	return unquote(quoted) == "key"
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // a valid string: part of valid JSON
	return s
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

// skipString returns the place after the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the place after the value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // a number or word ended before it
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}
