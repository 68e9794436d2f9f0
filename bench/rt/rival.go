// What Go's primitives cost, measured as bench/rt/ours.c measures ours: one number a run.
//
//	rival switch N | spawn | chan | idle N
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

func privateBytes() float64 {
	data, _ := os.ReadFile("/proc/self/status")
	total := 0.0
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, "RssAnon:") || strings.HasPrefix(line, "VmPTE:") {
			value, _ := strconv.ParseFloat(strings.Fields(line)[1], 64)
			total += value
		}
	}
	return total * 1024
}

func ring(n int) float64 {
	rounds := 5000000 / n
	var wg sync.WaitGroup
	wg.Add(n)
	start := time.Now()
	for i := 0; i < n; i++ {
		go func() {
			for k := 0; k < rounds; k++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(n*rounds)
}

func spawn() float64 {
	const batches, size = 1000, 1000
	start := time.Now()
	for i := 0; i < batches; i++ {
		var wg sync.WaitGroup
		wg.Add(size)
		for k := 0; k < size; k++ {
			go wg.Done()
		}
		wg.Wait()
	}
	return float64(time.Since(start).Nanoseconds()) / float64(batches*size)
}

func channel() float64 {
	const rounds = 10000000
	ch := make(chan int, 128)
	start := time.Now()
	go func() {
		for i := 0; i < rounds; i++ {
			ch <- i
		}
		close(ch)
	}()
	for range ch {
	}
	return float64(time.Since(start).Nanoseconds()) / rounds
}

func idle(n int) float64 {
	before := privateBytes()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			<-ctx.Done()
			wg.Done()
		}()
	}
	time.Sleep(time.Millisecond)
	figure := (privateBytes() - before) / float64(n)
	cancel()
	wg.Wait()
	return figure
}

func main() {
	runtime.GOMAXPROCS(1)
	what, n := os.Args[1], 1000
	if len(os.Args) > 2 {
		n, _ = strconv.Atoi(os.Args[2])
	}
	figure := map[string]func() float64{
		"switch": func() float64 { return ring(n) },
		"spawn":  spawn,
		"chan":   channel,
		"idle":   func() float64 { return idle(n) },
	}[what]()
	fmt.Printf("%.2f\n", figure)
}
