package explore

import (
	"reflect"
	"unsafe"
)

// Clone returns a deep copy of a plain value, one without channels, locks or goroutines. Pointers that met before
// meet again, as long as none points into something another one points to; slices don't share memory any more.
// Functions are shared.
func Clone[T any](v T) T {
	c := cloner{known: make(map[unsafe.Pointer]unsafe.Pointer, 16)}
	out := v
	c.fix(shapeOf(reflect.TypeFor[T]()), unsafe.Pointer(&out))
	return out
}

type cloner struct {
	known map[unsafe.Pointer]unsafe.Pointer // the copy, by what a pointer points to
}

// fix replaces what lies behind the value at p, which is a shallow copy, by copies.
func (c *cloner) fix(s *shape, p unsafe.Pointer) {
	if s.flat {
		return
	}
	switch s.kind {
	case reflect.Struct:
		for i := range s.fields {
			f := &s.fields[i]
			c.fix(f.shape, unsafe.Add(p, f.offset))
		}
	case reflect.Array:
		for i := range s.t.Len() {
			c.fix(s.elem, unsafe.Add(p, uintptr(i)*s.elem.size))
		}
	case reflect.Pointer:
		c.pointer(s, (*unsafe.Pointer)(p))
	case reflect.Slice:
		c.slice(s, p)
	case reflect.Map:
		c.mapping(s, p)
	case reflect.Interface:
		v := reflect.NewAt(s.t, p).Elem()
		if v.IsNil() {
			return
		}
		inside := shapeOf(v.Elem().Type())
		if inside.flat {
			return
		}
		fresh := reflect.New(inside.t)
		fresh.Elem().Set(v.Elem())
		c.fix(inside, fresh.UnsafePointer())
		v.Set(fresh.Elem())
	}
}

func (c *cloner) pointer(s *shape, to *unsafe.Pointer) {
	if *to == nil {
		return
	}
	if copied, known := c.known[*to]; known {
		*to = copied
		return
	}
	fresh := reflect.New(s.elem.t)
	fresh.Elem().Set(reflect.NewAt(s.elem.t, *to).Elem())
	c.known[*to] = fresh.UnsafePointer()
	*to = fresh.UnsafePointer()
	c.fix(s.elem, *to)
}

func (c *cloner) slice(s *shape, p unsafe.Pointer) {
	old := reflect.NewAt(s.t, p).Elem()
	n := old.Len()
	if n == 0 {
		if !old.IsNil() {
			old.SetZero() // no spare room that two copies would share
		}
		return
	}
	fresh := reflect.MakeSlice(s.t, n, n)
	reflect.Copy(fresh, old)
	old.Set(fresh)
	if !s.elem.flat {
		first := fresh.UnsafePointer()
		for i := range n {
			c.fix(s.elem, unsafe.Add(first, uintptr(i)*s.elem.size))
		}
	}
}

func (c *cloner) mapping(s *shape, p unsafe.Pointer) {
	old := reflect.NewAt(s.t, p).Elem()
	if old.IsNil() {
		return
	}
	fresh := reflect.MakeMapWithSize(s.t, old.Len())
	key, value := reflect.New(s.key.t), reflect.New(s.elem.t)
	for i := old.MapRange(); i.Next(); {
		key.Elem().SetIterKey(i)
		value.Elem().SetIterValue(i)
		c.fix(s.elem, value.UnsafePointer())
		fresh.SetMapIndex(key.Elem(), value.Elem())
	}
	old.Set(fresh)
}
