package chart

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	_ "github.com/go-genstage/genstage/internal/testargs" // the flags that all tests take
	"github.com/stretchr/testify/require"
)

func TestSVGIsWellFormedAndHasACurveForEach(t *testing.T) {
	var b strings.Builder
	points := []Point{{0, 1}, {1, 20}, {2, 20}, {3, 0}}
	require.NoError(t, Write(&b, Panel{Title: "a < b & c", X: "s", Curves: []Curve{{"one", points}, {"<two>", points}, {"none", nil}}}))
	dec := xml.NewDecoder(strings.NewReader(b.String()))
	curves, text := 0, ""
	for {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			for _, a := range token.Attr {
				if a.Name.Local == "fill" && a.Value == "none" {
					curves++
				}
			}
		case xml.CharData:
			text += string(token)
		}
	}
	require.Equal(t, 5, curves, "two, and the first behind each of three")
	for _, want := range []string{"a < b & c", "one", "<two>", "none"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, b.String(), "NaN")
}
