// Package chart draws curves over time as SVG.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Point is one of a curve, which stays at its height until the next.
type Point struct{ X, Y float64 }

// Curve is one line of a panel.
type Curve struct {
	Name   string
	Points []Point
}

// Panel is one picture: a small one for each curve, with the first curve behind it in grey. All have the same upright
// axis, logarithmic from 1 on; to the right each goes as far as its two curves.
type Panel struct {
	Title  string
	X      string // the unit of what goes to the right
	Curves []Curve
}

// The measures of the picture, in pixels.
const (
	columns       = 3
	left, top     = 44, 20 // of a curve in its cell
	width, height = 236, 84
	cellWidth     = left + width + 12
	cellHeight    = height + 46
	heading       = 40
)

// Write draws the panels one below the other.
func Write(w io.Writer, panels ...Panel) error {
	var b, body strings.Builder
	down := 0
	for _, p := range panels {
		fmt.Fprintf(&body, `<g transform="translate(0,%d)">`+"\n", down)
		down += p.draw(&body)
		body.WriteString("</g>\n")
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", columns*cellWidth, down)
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// draw returns how high the panel is.
func (p Panel) draw(b *strings.Builder) int {
	high := 10.0
	for _, c := range p.Curves {
		for _, pt := range c.Points {
			high = max(high, pt.Y)
		}
	}
	decades := math.Ceil(math.Log10(high))
	fmt.Fprintf(b, `<text x="%d" y="24" font-size="14" font-weight="bold">%s</text>`+"\n", left, html.EscapeString(p.Title))
	for i, c := range p.Curves {
		fmt.Fprintf(b, `<g transform="translate(%d,%d)">`+"\n", i%columns*cellWidth+left, heading+i/columns*cellHeight+top)
		p.cell(b, c, decades)
		b.WriteString("</g>\n")
	}
	rows := (len(p.Curves) + columns - 1) / columns
	return heading + rows*cellHeight
}

// cell draws one curve, in front of the first.
func (p Panel) cell(b *strings.Builder, c Curve, decades float64) {
	right := max(1e-9, c.end(), p.Curves[0].end())
	x := func(v float64) float64 { return v / right * width }
	y := func(v float64) float64 { return height - math.Log10(max(v, 1))/decades*height }
	size := 11
	if len(c.Name) > 36 {
		size = 8
	}
	fmt.Fprintf(b, `<text x="0" y="-6" font-size="%d" font-weight="bold">%s</text>`+"\n", size, html.EscapeString(c.Name))
	for d := 0.0; d <= decades; d++ {
		at := y(math.Pow(10, d))
		fmt.Fprintf(b, `<path d="M0 %.1fH%d" stroke="#ddd"/>`, at, width)
		if decades <= 4 || math.Mod(d, 2) == 0 {
			fmt.Fprintf(b, `<text x="-5" y="%.1f" font-size="9" text-anchor="end">%s</text>`+"\n", at+3, short(math.Pow(10, d)))
		}
	}
	fmt.Fprintf(b, `<text x="0" y="%d" font-size="9">0</text><text x="%d" y="%d" font-size="9" text-anchor="end">%.2f %s</text>`+"\n",
		height+11, width, height+11, right, html.EscapeString(p.X))
	p.Curves[0].path(b, x, y, "#bbb")
	c.path(b, x, y, "#1b6ca8")
}

// end is where the curve ends.
func (c Curve) end() float64 {
	if len(c.Points) == 0 {
		return 0
	}
	return c.Points[len(c.Points)-1].X
}

func (c Curve) path(b *strings.Builder, x, y func(float64) float64, colour string) {
	if len(c.Points) == 0 {
		return
	}
	fmt.Fprintf(b, `<path fill="none" stroke="%s" d="M%.1f %.1f`, colour, x(c.Points[0].X), y(c.Points[0].Y))
	last := ""
	for _, pt := range c.Points[1:] {
		if step := fmt.Sprintf("%.1f", y(pt.Y)); step != last {
			fmt.Fprintf(b, "H%.1fV%s", x(pt.X), step)
			last = step
		}
	}
	fmt.Fprintf(b, `H%.1f"/>`+"\n", x(c.end()))
}

// short writes a power of ten.
func short(v float64) string {
	for _, u := range []struct {
		from float64
		sign string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.from {
			return fmt.Sprintf("%g%s", v/u.from, u.sign)
		}
	}
	return fmt.Sprintf("%g", v)
}
