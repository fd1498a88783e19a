#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The whole pipe, live: a service under load, recorded, joined, explained and drawn while it runs.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	cd "$BATS_TEST_TMPDIR" || return
	[ "$(id -u)" = 0 ] || skip "recording needs root"
	[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
	pids=()
}

teardown() {
	for p in ${pids[@]+"${pids[@]}"}; do kill -KILL "$p" 2>/dev/null; done
	true
}

# A service of two processes, front and back, and four clients that log the ids that they sent, and how long it took.
serve() {
	cat >front.py <<-'END'
		import http.client, http.server, sys, time
		class Handler(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def do_GET(self):
		        if back:
		            c = http.client.HTTPConnection("127.0.0.1", back)
		            c.request("GET", self.path, headers={"X-Request-ID": self.headers["X-Request-ID"]})
		            c.getresponse().read()
		            c.close()
		        elif self.path == "/slow":
		            time.sleep(0.12)
		        self.send_response(200)
		        self.send_header("Content-Length", "2")
		        self.end_headers()
		        self.wfile.write(b"ok")
		    def log_message(self, *a):
		        pass
		name, back = sys.argv[1], int(sys.argv[2])
		s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
		with open(name, "w") as f:
		    f.write("%d\n" % s.server_port)
		s.serve_forever()
	END
	cat >client.py <<-'END'
		import http.client, sys, time
		port, who = int(sys.argv[1]), sys.argv[2]
		c = http.client.HTTPConnection("127.0.0.1", port)
		n = 0
		with open(who + ".log", "w", buffering=1) as log:
		    while True:
		        id, path = "%s-%06d" % (who, n), "/slow" if n % 10 == 9 else "/fast"
		        t = time.monotonic()
		        c.request("GET", path, headers={"X-Request-ID": id})
		        c.getresponse().read()
		        log.write("%s %s %.6f\n" % (id, path, time.monotonic() - t))
		        n += 1
	END
	python3 front.py back.port 0 3>&- &
	pids+=($!)
	until [ -s back.port ]; do sleep 0.05; done
	python3 front.py front.port "$(cat back.port)" 3>&- &
	pids+=($!)
	until [ -s front.port ]; do sleep 0.05; done
	for who in ann bob eve joe; do
		python3 client.py "$(cat front.port)" $who 3>&- &
		pids+=($!)
	done
	until [ -s ann.log ] && [ -s joe.log ]; do sleep 0.05; done
}

@test "record, enrich, explain and draw in one pipe, under load" {
	serve
	set -o pipefail
	"$KP_BIN/kp-record" -q -d 5 | "$KP_BIN/kp-enrich" -q | "$KP_BIN/kp-causal" -q --slowest 3 | tee why.kp | "$KP_BIN/kp-dot" -f svg >x.svg
	python3 -c 'import sys, xml.dom.minidom as x; x.parse("x.svg")'
	# three targets, each a request that a client has logged
	grep -oE '(ann|bob|eve|joe)-[0-9]{6}' x.svg | sort -u >ids
	[ "$(wc -l <ids)" = 3 ]
	while read -r id; do
		grep -h "^$id " ./*.log
	done <ids >logged
	[ "$(wc -l <logged)" = 3 ]
	# the stream between says the same, and all of the time is accounted for
	"$KP_BIN/kp-causal" -q --request "$(head -n 1 ids)" -f json why.kp >why.json
	python3 - "$(head -n 1 logged | cut -d' ' -f3)" <<-'END'
		import json, sys
		w = json.load(open("why.json"))
		ms = w["target"]["dur_ns"] / 1e6
		took = float(sys.argv[1]) * 1e3
		# what the client saw, less its own way to the kernel; where rows are missing less is known
		assert w["target"]["lost_rows"] or took / 2 <= ms <= took + 1, (ms, took)
		assert abs(sum(c["share"] for c in w["causes"]) - 1) < 1e-3, w["causes"]
	END
}
