# Completion of vagga for fish: keep this as ~/.config/fish/completions/vagga.fish, or
#   vagga _completion fish | source

function __vagga_candidates
    set -l words (commandline --tokenize --current-process --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l program $words[1]
    type --query $program; or set program vagga
    set -l found ($program _compgen --described $words[2..-1] -- $current 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path $current
    end
end

complete --command vagga --no-files --keep-order --arguments '(__vagga_candidates)'
