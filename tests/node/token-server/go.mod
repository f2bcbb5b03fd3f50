// The token server that CNCF Distribution had beside its registry until release 3: what every client's token protocol was written for. It is
// a module of its own because it needs libraries of its time.
module github.com/wharfinger/wharfinger/tests/node/token-server

go 1.26.8

tool github.com/docker/distribution/contrib/token-server

require (
	github.com/docker/distribution v2.8.3+incompatible // indirect
	github.com/docker/libtrust v0.0.0-20160708172513-aabc10ec26b7 // indirect
	github.com/gorilla/mux v1.8.1 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
