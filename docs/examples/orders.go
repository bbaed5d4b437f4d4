// Orders, an HTTP service that tells the metrics-host in front of it what it counts. Standard library only.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
)

const catalogue = `{"routes": [{"method": "GET", "route": "/orders/{id}", "status": 200}]}`

func answer(w http.ResponseWriter, status int, content any) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(content)
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("telemetry-route", "/orders/{id}")
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil {
			w.Header().Set("telemetry-error", fmt.Sprintf("%T", err))
			answer(w, http.StatusInternalServerError, map[string]any{"error": "internal error"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"id": id})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("telemetry-route", "unmatched")
		answer(w, http.StatusNotFound, map[string]any{"error": "not found"})
	})
	mux.HandleFunc("GET /.well-known/telemetry-vocabulary", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("telemetry-describe") == "" {
			w.Header().Set("telemetry-route", "unmatched")
			answer(w, http.StatusNotFound, map[string]any{"error": "not found"})
			return
		}
		w.Header().Set("content-type", "application/vnd.telemetry-vocabulary+json")
		fmt.Fprint(w, catalogue)
	})

	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on port", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, mux))
}
