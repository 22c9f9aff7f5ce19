package stage

// sender is an outlet that only sends: for dispatchers that report nothing else.
type sender func(id SubID, events []int)

func (s sender) Send(id SubID, events []int)  { s(id, events) }
func (s sender) Filtered(SubID, int)          { panic("filtered") }
func (s sender) Lagged(SubID, int)            { panic("lagged") }
func (s sender) Dropped(int, error)           { panic("dropped") }
func (s sender) Discarded([]int)              { panic("discarded") }
func (s sender) Refuse(SubID, error)          { panic("refused") }
func (s sender) Admit(int, []SubID) Admission { panic("admit") }
func (s sender) Due(any)                      { panic("due") }
