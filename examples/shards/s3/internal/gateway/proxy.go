package gateway

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Proxy stands between clients and a server, counts connections and breaks them.
type Proxy struct {
	URL string

	listener net.Listener
	server   string
	conns    sync.WaitGroup // of goroutines

	mu     sync.Mutex
	opened int               // guarded by mu
	open   map[net.Conn]bool // guarded by mu; both sides of each
	most   int               // guarded by mu; connections at once
	cuts   int               // guarded by mu: how many more connections are to be broken
	after  int64             // guarded by mu: after so many bytes of an answer
}

// NewProxy starts a proxy in front of the gateway. The caller closes it.
func (g *Gateway) NewProxy() (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{URL: "http://" + l.Addr().String(), listener: l, server: g.URL[len("http://"):], open: map[net.Conn]bool{}}
	p.conns.Go(p.accept) // ends with Close, which waits for it
	return p, nil
}

// Connections returns how many connections clients opened, and how many there were at most.
func (p *Proxy) Connections() (opened, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened, p.most
}

// Cut makes the proxy reset the next n connections that carry more than so many bytes from the server, after these.
func (p *Proxy) Cut(n int, after int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts, p.after = n, after
}

// Cuts returns how many connections are still to be broken.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Close ends the proxy and all connections, and waits for them.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.open {
		err = errors.Join(err, c.Close())
	}
	p.mu.Unlock()
	p.conns.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.opened++
		p.open[client], p.open[server] = true, true
		p.most = max(p.most, len(p.open)/2)
		p.mu.Unlock()
		p.conns.Go(func() { // ends when the client closes, or with Close, which waits for it
			io.Copy(server, client)
			server.(*net.TCPConn).CloseWrite()
		})
		p.conns.Go(func() { // ends when the server closes, or with Close, which waits for it
			p.answer(client.(*net.TCPConn), server)
			p.mu.Lock()
			delete(p.open, client)
			delete(p.open, server)
			p.mu.Unlock()
			client.Close()
			server.Close()
		})
	}
}

// answer carries the server's bytes to the client, until it is to break the connection.
func (p *Proxy) answer(client *net.TCPConn, server net.Conn) {
	buf := make([]byte, 16<<10)
	var carried int64
	for {
		n, err := server.Read(buf)
		if p.cut(carried + int64(n)) {
			_ = client.SetLinger(0) // so that closing it is a reset
			return
		}
		carried += int64(n)
		if _, writeErr := client.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

func (p *Proxy) cut(carried int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts == 0 || carried <= p.after {
		return false
	}
	p.cuts--
	return true
}
