# Loaded into PostgreSQL's own tests: a node that archives calls `lifeboat wal push`, one that restores `lifeboat wal fetch`.
# Beside that each file is copied into the test's own archive, because some tests look for files there.
package Lifeboat;

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# `lifeboat` with the configuration of this node, which has a repository of its own.
sub command
{
	my ($node) = @_;
	my $dir    = $node->basedir . '/lifeboat';
	my $config = "$dir/lifeboat.toml";
	my @program = ($ENV{LIFEBOAT}, '--config', $config);
	unless (-e $config)
	{
		mkdir $dir or die "mkdir $dir: $!";
		my @settings = (
			'postgres.host=' . $node->host, 'postgres.port=' . $node->port,
			'postgres.user=postgres',       'agent.listen=off',
			"seal.identity_files=$dir/lifeboat-identity.txt");
		PostgreSQL::Test::Utils::system_or_bail(@program, 'init', '--instance', $node->name,
			'--repository', "$dir/repo", '--state-dir', "$dir/state", map { ('--set', $_) } @settings);
	}
	return "@program";
}

no warnings 'redefine';

*PostgreSQL::Test::Cluster::enable_archiving = sub {
	my ($self) = @_;
	my ($path, $lifeboat) = ($self->archive_dir, command($self));
	$self->append_conf('postgresql.conf',
		qq(\narchive_mode = on\narchive_command = 'cp "%p" "$path/%f" && $lifeboat wal push "%p"'\n));
};

*PostgreSQL::Test::Cluster::enable_restoring = sub {
	my ($self, $root_node, $standby) = @_;
	my $lifeboat = command($root_node);
	$self->append_conf($self->_recovery_file, qq(\nrestore_command = '$lifeboat wal fetch "%f" "%p"'\n));
	$standby ? $self->set_standby_mode() : $self->set_recovery_mode();
};

1;
