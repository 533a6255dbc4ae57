# Completion of nb1shot for fish.

function __nb1shot_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($words[1] completion candidates -- $words[2..-1] "$current" 2>/dev/null)
    for line in $found
        if test "$line" = \tfiles
            set -l option (string match -r '^-[^=]*=' -- "$current"; or echo) # before the name of the file
            printf '%s\n' $option(__fish_complete_path (string replace -- "$option" '' "$current"))
        else
            printf '%s\n' $line
        end
    end
end

complete -c nb1shot -f -k -a '(__nb1shot_candidates)'
