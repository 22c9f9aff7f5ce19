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

// Panel is one picture: curves over the same two axes, the upright one logarithmic from 1 on.
type Panel struct {
	Title  string
	X      string // what goes to the right
	Curves []Curve
}

// The measures of a panel, in pixels.
const (
	left, top     = 64, 32
	width, height = 620, 260
	legend        = 270
	panelHeight   = 370
)

var colours = []string{
	"#1b6ca8", "#d1495b", "#2e8b57", "#e08e0b", "#6a4c93", "#00798c", "#8d5524", "#c71585", "#556b2f", "#4b4b4b",
	"#4169e1", "#ff7f50", "#20b2aa", "#b8860b", "#9370db", "#5f9ea0", "#a52a2a", "#708090",
}

// Write draws the panels one below the other. Curves of one index have one colour in all panels.
func Write(w io.Writer, panels ...Panel) error {
	var b strings.Builder
	all := left + width + legend
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", all, panelHeight*len(panels))
	b.WriteString(`<rect width="100%" height="100%" fill="white"/>` + "\n")
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", left, top+i*panelHeight)
		p.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (p Panel) draw(b *strings.Builder) {
	right, high := 1e-9, 10.0
	for _, c := range p.Curves {
		for _, pt := range c.Points {
			right, high = max(right, pt.X), max(high, pt.Y)
		}
	}
	decades := math.Ceil(math.Log10(high))
	x := func(v float64) float64 { return v / right * width }
	y := func(v float64) float64 { return height - math.Log10(max(v, 1))/decades*height }
	fmt.Fprintf(b, `<text x="0" y="-12" font-weight="bold">%s</text>`+"\n", html.EscapeString(p.Title))
	for d := 0.0; d <= decades; d++ {
		at := y(math.Pow(10, d))
		fmt.Fprintf(b, `<path d="M0 %.1fH%d" stroke="#ddd"/><text x="-8" y="%.1f" text-anchor="end">%s</text>`+"\n", at, width, at+4, short(math.Pow(10, d)))
	}
	for i := range 5 {
		at := float64(i) / 4
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%.3g</text>`+"\n", at*width, height+18, at*right)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", width/2, height+36, html.EscapeString(p.X))
	for i, c := range p.Curves {
		colour := colours[i%len(colours)]
		if len(c.Points) > 0 {
			fmt.Fprintf(b, `<path fill="none" stroke="%s" stroke-width="1.3" d="M%.1f %.1f`, colour, x(c.Points[0].X), y(c.Points[0].Y))
			last := ""
			for _, pt := range c.Points[1:] {
				if step := fmt.Sprintf("%.1f", y(pt.Y)); step != last {
					fmt.Fprintf(b, "H%.1fV%s", x(pt.X), step)
					last = step
				}
			}
			fmt.Fprintf(b, `H%.1f"/>`+"\n", x(c.Points[len(c.Points)-1].X))
		}
		at := 14 * i
		fmt.Fprintf(b, `<path d="M%d %dh18" stroke="%s" stroke-width="3"/><text x="%d" y="%d" font-size="11">%s</text>`+"\n", width+16, at, colour, width+40, at+4, html.EscapeString(c.Name))
	}
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
