# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# A PostgreSQL cluster of our own, on the slow disk, in the group "db".

PG_BIN='' PG_PORT='' PG_DATA=''
ITEMS=100000

pg_find() {
	local d
	while read -r d; do
		[ -x "$d/initdb" ] && [ -x "$d/pg_ctl" ] && PG_BIN=$d
	done < <(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/bin | sort -V)
	[ -n "$PG_BIN" ] && id postgres >/dev/null 2>&1
}

as_postgres() { setpriv --reuid postgres --regid postgres --init-groups env -C / LC_ALL=C "$@"; }

# In the group, on the CPUs that the fault asks for.
pg_ctl() {
	(
		trap - INT TERM EXIT
		cg_join db
		as_postgres ${PIN:+taskset -c "$PIN"} "$PG_BIN/pg_ctl" -D "$PG_DATA" -l "$PG_DATA/log" "$@"
	)
}

pg_sql() { psql -X -q -h "$PG_DATA" -p "$PG_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 "$@"; }

pg_start() {
	show "pg_ctl -D $PG_DATA start    # in group db, as postgres"
	pg_ctl -w -t 20 start >>"$LOGS/commands" 2>&1 </dev/null || {
		tail -5 "$PG_DATA/log" >&2
		die "PostgreSQL does not start"
	}
}

# Writes all that is dirty, so that nothing is left to do during the recording.
pg_stop() {
	show "pg_ctl -D $PG_DATA stop"
	pg_ctl -w -t 30 -m fast stop >>"$LOGS/commands" 2>&1 </dev/null
}

pg_setup() {
	local sql
	PG_PORT=$(free_port)
	PG_DATA=$MNT/pg
	run install -d -o postgres "$PG_DATA"
	show "initdb -D $PG_DATA -U postgres -A trust --no-sync    # as postgres"
	as_postgres "$PG_BIN/initdb" -D "$PG_DATA" -U postgres -A trust -N --locale=C -E UTF8 >>"$LOGS/commands" 2>&1 || die "initdb failed: $(tail -1 "$LOGS/commands")"
	undo pg_ctl -m immediate -t 10 stop
	cat >>"$PG_DATA/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		port = $PG_PORT
		unix_socket_directories = '$PG_DATA'
		shared_buffers = 8MB
		max_connections = 20
		wal_level = minimal
		max_wal_senders = 0
		min_wal_size = 256MB
		max_wal_size = 1GB
		checkpoint_timeout = 1h
		autovacuum = off
		jit = off
		max_parallel_workers_per_gather = 0
		fsync = off
	END
	note "shared_buffers = 8MB: what the database knows of its $((ITEMS * 11 / 10000)) MB table is in the page cache"
	pg_start
	sql="BEGIN;
CREATE TABLE items (id int, price int, stock int, description text);
INSERT INTO items SELECT i, i % 9000 + 99, 1000000, repeat('x', 1000) FROM generate_series(1, $ITEMS) i;
ALTER TABLE items ADD PRIMARY KEY (id);
CREATE TABLE orders (id bigserial PRIMARY KEY, request text, item int, total bigint, at timestamptz DEFAULT now());
COMMIT;"
	show "psql -c 'CREATE TABLE items ...; INSERT INTO items SELECT ... FROM generate_series(1, $ITEMS); CREATE TABLE orders ...'"
	pg_sql -c "$sql" >>"$LOGS/commands" 2>&1 || die "the table could not be loaded, see $LOGS/commands"
	# hint bits and visibility map now, so that reading later writes nothing
	run pg_sql -c 'VACUUM (FREEZE, ANALYZE) items'
	PG_HEAP=$(pg_sql -At -c "SELECT pg_relation_filepath('items')")
	PG_INDEX=$(pg_sql -At -c "SELECT pg_relation_filepath('items_pkey')")
	pg_stop
	sed -i 's/^fsync = off/fsync = on/' "$PG_DATA/postgresql.conf"
}

# pg_warm PERCENT: reads that much of the table, and the index, into the page cache of the group.
pg_warm() {
	local size
	size=$(($(stat -c %s "$PG_DATA/$PG_HEAP") * $1 / 100))
	show "head -c $size $PG_DATA/$PG_HEAP > /dev/null; cat $PG_DATA/$PG_INDEX > /dev/null    # in group db"
	(
		trap - INT TERM EXIT
		cg_join db
		head -c "$size" "$PG_DATA/$PG_HEAP" >/dev/null
		cat "$PG_DATA/$PG_INDEX" >/dev/null
	)
}

pg_backends() { pg_sql -At -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'api-worker' ORDER BY 1"; }
