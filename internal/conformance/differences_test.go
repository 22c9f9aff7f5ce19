package conformance

// documented says why a scenario may differ; "" if it may not. docs/genstage.md has more on each.
func documented(sc *scenario) string {
	switch {
	case sc.Quirk:
		return "a quirk of GenStage's"
	case sc.has("stalled-buffer"):
		return "buffer first, order kept"
	}
	return differences[sc.Name]
}

// differences are the scenarios that differ by a row of DESIGN section 5.
var differences = map[string]string{}
