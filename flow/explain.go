package flow

// Explain says what running the flow would start, without running it: the stages of each layer, and what
// they would ask of whom. For a flow with a fault it is that fault. The text is for people and may change.
func (f Flow[T]) Explain() string {
	p, err := planOf(f.last(), ended("end", nil))
	if err != nil {
		return err.Error() + "\n"
	}
	return p.String()
}
