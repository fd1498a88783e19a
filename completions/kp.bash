# SPDX-License-Identifier: BSD-2-Clause
# bash completion for kp-causal
_kp_causal() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $prev in
	-r|--request) return ;;
	-t|--trace) return ;;
	-x|--txn) return ;;
	-n|--slowest) return ;;
	--tid) return ;;
	--pid) return ;;
	--since) return ;;
	--until) return ;;
	-f|--format) mapfile -t COMPREPLY < <(compgen -W 'text json kp' -- "$cur"); return ;;
	-D|--delimiter) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-r --request -t --trace -x --txn -n --slowest --tid --pid --since --until -f --format -D --delimiter --strict -o --output -q --quiet -v --verbose -h --help -V --version ' -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _kp_causal kp-causal
# bash completion for kp-dot
_kp_dot() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $prev in
	-f|--format) mapfile -t COMPREPLY < <(compgen -W 'dot svg png' -- "$cur"); return ;;
	-n|--nodes) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-f --format -n --nodes -o --output -q --quiet -v --verbose -h --help -V --version ' -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _kp_dot kp-dot
# bash completion for kp-enrich
_kp_enrich() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $prev in
	-D|--delimiter) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-s --spans -m --map -a --all --strict -D --delimiter -o --output -q --quiet -v --verbose -h --help -V --version ' -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _kp_enrich kp-enrich
# bash completion for kp-query
_kp_query() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $prev in
	-w|--where) return ;;
	-e|--events) return ;;
	--since) return ;;
	--until) return ;;
	--around) return ;;
	-n|--count) return ;;
	-f|--format) mapfile -t COMPREPLY < <(compgen -W 'text json csv kp' -- "$cur"); return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-w --where -e --events --since --until --around -n --count -f --format --info --kinds --utc --strict -o --output -q --quiet -v --verbose -h --help -V --version ' -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _kp_query kp-query
# bash completion for kp-record
_kp_record() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	case $prev in
	-p|--pid) return ;;
	--comm) return ;;
	-g|--cgroup) return ;;
	-e|--events) return ;;
	--profile) return ;;
	--min-dur) return ;;
	--stack-min) return ;;
	--payload) return ;;
	-d|--duration) return ;;
	-n|--count) return ;;
	--cpu-budget) return ;;
	--buffer) return ;;
	--delimiter) return ;;
	--level) return ;;
	--ring-size) return ;;
	--ring-age) return ;;
	--min-free) return ;;
	--fsync) mapfile -t COMPREPLY < <(compgen -W 'second segment never' -- "$cur"); return ;;
	--group) return ;;
	--dry-run) return ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W '-p --pid --comm -g --cgroup -e --events --profile --min-dur --stack-min --all --no-exclude --ids --no-ids --payload -d --duration -n --count --cpu-budget --buffer --delimiter --level --ring --ring-size --ring-age --min-free --fsync --group --config --metrics --check --sources --dry-run -o --output -q --quiet -v --verbose -h --help -V --version ' -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _kp_record kp-record
