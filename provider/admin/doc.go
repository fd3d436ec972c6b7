// Package admin lets those who run a provider look into the scan queue and mend
// it: what waits, what is under way and where, what failed and why, try again,
// take off. The serving process answers on a Unix socket in its data folder,
// since neither the queue nor the NATS server that keeps it need listen on any
// port; who may open the socket is who may read the folder. Every replica knows
// the whole queue, so it does not matter which one is asked.
package admin
