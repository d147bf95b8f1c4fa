// Package lab makes hosts to test against, on this machine: it is imported by
// tests, benchmarks and the command of `make lab`, never by testr itself.
//
// A [Server] is an SSH server inside the process, on loopback; it needs nothing
// but Go. A [Lab] is hosts with network interfaces of their own and OpenSSH's
// sshd in each; it needs root and Debian packages, which scripts/install-peers
// names. Both run commands for real, on the file system and in the process
// table of this machine.
package lab
