// Command probe is a program for pods that ask what a bed lets them do: it serves its host's name,
// gets a URL, or resolves a name. It is one static file, so it is a whole image.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

const usage = "usage: probe serve ADDRESS | probe get URL | probe resolve NAME"

func main() {
	if len(os.Args) != 3 {
		fail(usage)
	}
	argument := os.Args[2]
	switch os.Args[1] {
	case "serve":
		serve(argument)
	case "get":
		get(argument)
	case "resolve":
		resolve(argument)
	default:
		fail(usage)
	}
}

func serve(address string) {
	host, err := os.Hostname()
	if err != nil {
		fail(err)
	}
	handler := func(response http.ResponseWriter, request *http.Request) {
		fmt.Printf("%s %s\n", request.Method, request.URL.Path)
		fmt.Fprintln(response, host)
	}
	fail(http.ListenAndServe(address, http.HandlerFunc(handler)))
}

func get(url string) {
	client := http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		fail(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		fail(err)
	}
	if response.StatusCode != http.StatusOK {
		fail(response.Status)
	}
}

func resolve(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		fail(err)
	}
	for _, address := range addresses {
		fmt.Println(address)
	}
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
