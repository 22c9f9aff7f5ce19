package explore

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"
)

// Fingerprint returns a number that two plain values share if they are the same, and hardly ever otherwise:
// whether their pointers meet in the same way counts, where things lie and spare room do not, nor what is in
// functions. Two kinds of field are known by name: of a turn, which orders its owners in time, only the order
// counts; steps, which count for a test of cost, don't count at all.
func Fingerprint(v any) uint64 {
	h := hasher{sum: 14695981039346656037, known: make(map[unsafe.Pointer]uint64, 16)}
	h.walkInside(reflect.ValueOf(v))
	slices.Sort(h.turns)
	h.turns = slices.Compact(h.turns)
	for _, turn := range h.met {
		rank, _ := slices.BinarySearch(h.turns, turn)
		h.add(uint64(rank))
	}
	return h.sum
}

type hasher struct {
	sum   uint64
	known map[unsafe.Pointer]uint64 // number of each pointer, from 1 on
	met   []uint64                  // turns, as they were met
	turns []uint64
}

func (h *hasher) add(n uint64) {
	h.sum = (h.sum ^ n) * 0x9E3779B97F4A7C15
	h.sum ^= h.sum >> 32
}

// walk adds the value at p.
func (h *hasher) walk(s *shape, p unsafe.Pointer) {
	switch s.kind {
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		h.add(uint64(*(*uint8)(p)))
	case reflect.Int16, reflect.Uint16:
		h.add(uint64(*(*uint16)(p)))
	case reflect.Int32, reflect.Uint32:
		h.add(uint64(*(*uint32)(p)))
	case reflect.Int, reflect.Uint, reflect.Int64, reflect.Uint64:
		h.add(*(*uint64)(p))
	case reflect.String:
		text := *(*string)(p)
		h.add(uint64(len(text)))
		for i := range len(text) {
			h.add(uint64(text[i]))
		}
	case reflect.Func:
	case reflect.Struct:
		h.fields(s, p)
	case reflect.Array:
		for i := range s.t.Len() {
			h.walk(s.elem, unsafe.Add(p, uintptr(i)*s.elem.size))
		}
	case reflect.Pointer:
		h.pointer(s, *(*unsafe.Pointer)(p))
	case reflect.Slice:
		v := reflect.NewAt(s.t, p).Elem()
		n, first := v.Len(), v.UnsafePointer()
		h.add(uint64(n))
		for i := range n {
			h.walk(s.elem, unsafe.Add(first, uintptr(i)*s.elem.size))
		}
	case reflect.Map:
		h.mapping(s, reflect.NewAt(s.t, p).Elem())
	case reflect.Interface:
		h.walkInside(reflect.NewAt(s.t, p).Elem().Elem())
	default:
		panic(fmt.Sprintf("explore: cannot tell states apart by a %v", s.t))
	}
}

// walkInside adds what is in an interface.
func (h *hasher) walkInside(v reflect.Value) {
	if !v.IsValid() {
		h.add(0)
		return
	}
	h.add(1)
	inside := reflect.New(v.Type())
	inside.Elem().Set(v)
	h.walk(shapeOf(v.Type()), inside.UnsafePointer())
}

func (h *hasher) fields(s *shape, p unsafe.Pointer) {
	if s.ring {
		h.ring(reflect.NewAt(s.t, p).Elem())
		return
	}
	for i := range s.fields {
		switch f := &s.fields[i]; f.use {
		case byValue:
			h.walk(f.shape, unsafe.Add(p, f.offset))
		case byRank:
			turn := *(*uint64)(unsafe.Add(p, f.offset))
			h.met, h.turns = append(h.met, turn), append(h.turns, turn)
		}
	}
}

// ring adds what is in a ring buffer, in order.
func (h *hasher) ring(r reflect.Value) {
	slots, head, n := r.FieldByName("slots"), int(r.FieldByName("head").Int()), int(r.FieldByName("len").Int())
	h.add(uint64(n))
	for i := range n {
		slot := slots.Index((head + i) % slots.Len())
		h.walk(shapeOf(slot.Type()), slot.Addr().UnsafePointer())
	}
}

func (h *hasher) pointer(s *shape, to unsafe.Pointer) {
	if s.shared {
		return
	}
	if to == nil {
		h.add(0)
		return
	}
	if n, known := h.known[to]; known {
		h.add(n)
		return
	}
	n := uint64(len(h.known) + 1)
	h.known[to] = n
	h.add(n)
	h.walk(s.elem, to)
}

// mapping adds the entries of a map in the order of their keys.
func (h *hasher) mapping(s *shape, m reflect.Value) {
	h.add(uint64(m.Len()))
	if m.Len() == 0 {
		return
	}
	keys := m.MapKeys()
	if len(keys) > 1 {
		slices.SortFunc(keys, compareKeys)
	}
	key, value := reflect.New(s.key.t), reflect.New(s.elem.t)
	for _, k := range keys {
		key.Elem().Set(k)
		value.Elem().Set(m.MapIndex(k))
		h.walk(s.key, key.UnsafePointer())
		h.walk(s.elem, value.UnsafePointer())
	}
}

// compareKeys puts the keys of a map in order: numbers and strings, also in an interface.
func compareKeys(a, b reflect.Value) int {
	if a.Kind() == reflect.Interface {
		a, b = a.Elem(), b.Elem()
	}
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.Kind() == reflect.String:
		return cmp.Compare(a.String(), b.String())
	}
	panic(fmt.Sprintf("explore: cannot put keys of type %v in order", a.Type()))
}
