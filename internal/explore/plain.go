package explore

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Plain values are copied and compared by what they are made of, unexported fields included: so accounts,
// dispatchers and buffers need no method for it, and the models none that could forget a field.

// Shared is implemented, on the pointer, by what all states have in common: it is neither copied nor looked into.
type Shared interface{ shared() }

// shape is what is known of a type.
type shape struct {
	t      reflect.Type
	kind   reflect.Kind
	size   uintptr
	flat   bool // nothing lies behind it that would have to be copied
	shared bool
	ring   bool // a ring buffer: where its content begins does not matter
	fields []field
	elem   *shape // of a pointer, slice, array or map
	key    *shape // of a map
}

type field struct {
	offset uintptr
	shape  *shape
	use    fieldUse
}

// fieldUse says how a field tells states apart.
type fieldUse uint8

const (
	byValue fieldUse = iota
	byRank           // named turn: it orders its owners in time, and only that order counts
	ignored          // named steps: it counts for a test of cost
)

var (
	shapesMu sync.Mutex
	shapes   = map[reflect.Type]*shape{} // guarded by shapesMu
)

// shapeOf returns the shape of a type.
func shapeOf(t reflect.Type) *shape {
	shapesMu.Lock()
	defer shapesMu.Unlock()
	return shapeLocked(t)
}

func shapeLocked(t reflect.Type) *shape {
	if s, known := shapes[t]; known {
		return s
	}
	s := &shape{t: t, kind: t.Kind(), size: t.Size()}
	shapes[t] = s
	switch s.kind {
	case reflect.Struct:
		s.flat = true
		s.ring = strings.HasPrefix(t.Name(), "ring[")
		for i := range t.NumField() {
			f := t.Field(i)
			t := f.Type
			if f.Name == "budget" { // of a Request: here nobody is charged
				t = reflect.TypeFor[int]()
			}
			fs := field{offset: f.Offset, shape: shapeLocked(t)}
			switch f.Name {
			case "turn":
				fs.use = byRank
			case "steps":
				fs.use = ignored
			}
			s.flat = s.flat && fs.shape.flat
			s.fields = append(s.fields, fs)
		}
	case reflect.Array:
		s.elem = shapeLocked(t.Elem())
		s.flat = s.elem.flat
	case reflect.Pointer:
		s.shared = t.Implements(reflect.TypeFor[Shared]())
		s.flat = s.shared
		if !s.shared {
			s.elem = shapeLocked(t.Elem())
		}
	case reflect.Slice:
		s.elem = shapeLocked(t.Elem())
	case reflect.Map:
		s.key, s.elem = shapeLocked(t.Key()), shapeLocked(t.Elem())
		if !s.key.flat && s.key.kind != reflect.Interface {
			panic(fmt.Sprintf("explore: cannot copy the keys of a %v", t))
		}
	case reflect.Interface:
	case reflect.Chan, reflect.UnsafePointer:
		panic(fmt.Sprintf("explore: a %v is not plain", t))
	default:
		s.flat = true
	}
	return s
}
