# Completion of vagga for bash: eval "$(vagga _completion bash)", or keep this as
# ~/.local/share/bash-completion/completions/vagga

_vagga() {
    # bash splits words at = and : too; put together what the user wrote together.
    local line=${COMP_LINE:0:COMP_POINT} bare word i program
    local -a words=() found=()
    COMPREPLY=()
    for ((i = 0; i < COMP_CWORD; i++)); do
        bare=${line#"${line%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        if ((${#words[@]} == 0)) || [[ $bare != "$line" ]]; then
            words+=("$word")
        else
            words[-1]+=$word
        fi
        line=${bare#"$word"}
    done
    bare=${line#"${line%%[![:space:]]*}"}
    local joined=
    if [[ $bare == "$line" ]] && ((${#words[@]} > 1)); then
        joined=${words[-1]}
        unset 'words[-1]'
    fi
    # Of what is joined, bash replaces only what stands behind the last = or :.
    local whole=$joined$bare keep
    keep=${whole%"${whole##*[=:]}"}
    [[ $COMP_WORDBREAKS == *[=:]* ]] || keep=
    program=${words[0]/#\~/$HOME}
    type -P -- "$program" > /dev/null || program=vagga
    mapfile -t found < <("$program" _compgen "${words[@]:1}" -- "$whole" 2> /dev/null)
    for word in "${found[@]}"; do
        [[ -n $word ]] && COMPREPLY+=("${word#"$keep"}")
    done
}

# Where vagga has nothing to offer, names of files are completed.
complete -o bashdefault -o default -F _vagga vagga
