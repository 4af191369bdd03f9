# Takes away what perl has had since 5.36, so that the node does as on older ones.
package OldPerl;
BEGIN { delete $main::{'builtin::'} }
1;
