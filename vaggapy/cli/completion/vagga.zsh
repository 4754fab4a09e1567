#compdef vagga
# Completion of vagga for zsh: keep this as _vagga in a directory of your fpath, or after compinit:
#   source <(vagga _completion zsh)

_vagga() {
    local program=${(Q)words[1]/#\~/$HOME} line
    local -a found described
    (( $+commands[$program] )) || [[ -x $program ]] || program=vagga
    found=("${(@f)$("$program" _compgen --described "${(@Q)words[2,CURRENT-1]}" -- "${(Q)PREFIX}" 2>/dev/null)}")
    for line in $found; do
        # name TAB text -> name:text, colons of the name kept
        described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( $#described )); then
        _describe -t values vagga described
    else
        _files
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _vagga "$@"
else
    compdef _vagga vagga
fi
