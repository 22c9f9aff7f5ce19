package stagetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/stage"
)

// spender is a demand dispatcher with a fault in how it asks budgets.
type spender struct {
	stage.BudgetDispatcher[int]
	fault string
}

func (d spender) Dispatch(events []int, out stage.Outlet[int]) []int {
	return d.BudgetDispatcher.Dispatch(events, answers{out, d.fault})
}

// answers stands between the dispatcher and the budgets.
type answers struct {
	stage.Outlet[int]
	fault string
}

func (a answers) Admit(event int, ids []stage.SubID) stage.Admission {
	if a.fault == "does not ask" {
		return stage.Admitted
	}
	answer := a.Outlet.Admit(event, ids)
	switch {
	case a.fault == "sends what was refused" && answer == stage.Refused,
		a.fault == "sends what could not be weighed" && answer == stage.Failed:
		return stage.Admitted
	case a.fault == "asks twice" && answer == stage.Admitted:
		return a.Outlet.Admit(event, ids)
	case a.fault == "does not send what was admitted" && answer == stage.Admitted:
		return stage.Refused
	case a.fault == "goes on asking" && answer == stage.Refused:
		return a.Outlet.Admit(event, ids)
	}
	return answer
}

func TestPlantedFaultsInChargingAreFound(t *testing.T) {
	charged := Requests(func(i int) stage.Request[int] { return stage.Request[int]{Consumer: i, Charged: i%2 == 0} })
	for _, fault := range []string{
		"", "does not ask", "sends what was refused", "sends what could not be weighed", "asks twice", "does not send what was admitted", "goes on asking",
	} {
		t.Run(fmt.Sprintf("%q", fault), func(t *testing.T) {
			conf := configure([]Option{charged})
			v := conf.search(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
				d, err := stage.Demand[int](opts...)
				return spender{d.(stage.BudgetDispatcher[int]), fault}, err
			})
			switch {
			case fault == "" && v != nil:
				t.Fatal(v)
			case fault != "" && v == nil:
				t.Fatal("nothing was found")
			case fault != "" && !strings.HasPrefix(v.Error(), "rule D14 is broken: "):
				t.Fatalf("found as another:\n%v", v)
			}
		})
	}
}
