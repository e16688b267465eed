# readme_check.pl README INCLUDE_FOLDER OUT_FOLDER: the part of readme_check.sh that reads. Writes one .cpp
# for each C++ block, named by kind and line, and checks tables itself; also the links and the names of
# files in the other documents.
use strict;
use warnings;

my ($readme, $include, $out) = @ARGV;
my $failed = 0;

sub verdict {
  my ($good, $what, $why) = @_;
  print $good ? "ok README.md $what\n" : "FAILED README.md $what: $why\n";
  $failed ||= !$good;
}

sub slurp {
  my ($name) = @_;
  open my $in, '<', $name or die "cannot read $name\n";
  local $/;
  return scalar <$in>;
}

# --- snippets -------------------------------------------------------------------------------------
my $includes = join '', map { "#include <$_>\n" }
  qw(cassert deepseek/deepseek.hpp deepseek/testing/double.hpp future iostream map);
my $coroutine = <<'CPP';
struct Snippet {
  struct promise_type {
    Snippet get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
CPP

my @lines = split /\n/, slurp($readme), -1;
my ($kind, $declarations, $blocks) = ('', '', 0);
for (my $i = 0; $i < @lines; ++$i) {
  if ($lines[$i] =~ /^<!-- snippet: (\w+) -->$/) { $kind = $1; next }
  next unless $lines[$i] =~ /^```(?:cpp|c\+\+|C\+\+)\s*$/;
  my $line = $i + 1;
  my $text = "#line " . ($line + 1) . " \"README.md\"\n";
  while (++$i < @lines && $lines[$i] !~ /^```/) { $text .= "$lines[$i]\n" }
  ++$blocks;
  my $client = "  auto client = deepseek::DeepSeekClient::from_environment();\n";
  my %whole = (
    program => $text,
    declarations => "$includes$declarations$text",
    statements => "$includes${declarations}void snippet() {\n$client$text}\n",
    coroutine => "$includes#include <deepseek/coro.hpp>\n$declarations${coroutine}Snippet snippet() {\n$client$text}\n",
  );
  if (!exists $whole{$kind}) {
    verdict(0, "block in line $line", 'no "<!-- snippet: KIND -->" stands before it');
  } else {
    open my $to, '>', sprintf('%s/line_%04d_%s.cpp', $out, $line, $kind) or die "cannot write to $out\n";
    print $to $whole{$kind};
    $declarations .= $text if $kind eq 'declarations';
  }
  $kind = '';
}
verdict($blocks >= 5, "has $blocks C++ blocks", 'fewer than there should be: is the fence still ```cpp?');

# --- tables ---------------------------------------------------------------------------------------
my $text = join "\n", @lines;

sub members_of {
  my ($header, $struct) = @_;
  my ($body) = slurp("$include/deepseek/$header") =~ /^struct \Q$struct\E \{\n(.*?)^\};/ms;
  die "no struct $struct in $header\n" unless defined $body;
  $body =~ s{//.*}{}g;
  my @members;
  for my $statement (split /;/, $body) {
    $statement =~ s/^\s+|\s+$//g;
    push @members, $1 if $statement =~ /^[\w:<>, ]+?[ >](\w+)\s*(?:=|\{|$)/;
  }
  return @members;
}

# "10'000", "10_000 ms" and "256 * 1024" are one number each; words are compared as they are.
sub number_of {
  my ($value) = @_;
  $value =~ s/'|ull//g;
  return $value =~ /^[\d\s*]+$/ ? eval $value : undef;
}

sub number_in_table {
  my ($cell) = @_;
  my %unit = ('' => 1, KiB => 2**10, MiB => 2**20, GiB => 2**30);
  return unless $cell =~ /^([\d ]+?) ?(KiB|MiB|GiB|)$/;
  my ($digits, $unit) = ($1, $2);
  $digits =~ s/ //g;
  return $digits * $unit{$unit};
}

for (['options.hpp', 'ClientOptions'], ['options.hpp', 'CallOptions'], ['transport/transport.hpp', 'Timeouts'],
     ['transport/transport.hpp', 'SizeLimits'], ['http/curl.hpp', 'TlsOptions'], ['http/curl.hpp', 'ProxyOptions']) {
  my ($header, $struct) = @$_;
  my ($section) = $text =~ /^\*\*\Q$struct\E\*\*(.*?)(?=^\*\*|^## )/ms;
  my @members = members_of($header, $struct);
  my @rows = map { [/^\| (.+?) \| (.+?) \|/] } grep { /^\| `/ } split /\n/, $section // '';
  my %cell;
  for my $row (@rows) { $cell{$_} = $row->[1] for $row->[0] =~ /`(\w+)`/g }
  my @missing = grep { !exists $cell{$_} } @members;
  my %known = map { $_ => 1 } @members;
  my @stale = grep { !$known{$_} } sort keys %cell;
  verdict(@members > 2 && !@missing && !@stale, "table of $struct", "missing: @missing; not in the header: @stale");

  next unless $struct eq 'Timeouts' || $struct eq 'SizeLimits';
  my $body = slurp("$include/deepseek/$header");
  my @wrong;
  for my $name (@members) {
    my ($value) = $body =~ /\b\Q$name\E(?:\{| = )([^;}]+)/;
    my ($is, $says) = (number_of($value // ''), number_in_table($cell{$name} // ''));
    push @wrong, $name unless defined $is && defined $says && $is == $says;
  }
  verdict(!@wrong, "defaults of $struct", "not as in the header: @wrong");
}

my ($ends) = $text =~ /^## How every call ends\n(.*?)^## /ms;
for my $enum (['Outcome', qr/^enum class Outcome \{\n(.*?)^\};/ms],
              ['ErrorCode', qr/^enum class ErrorCode : int \{\n(.*?)^\};/ms]) {
  my ($name, $pattern) = @$enum;
  my ($body) = slurp("$include/deepseek/error.hpp") =~ $pattern;
  $body =~ s{//.*}{}g;
  my %internal = map { $_ => 1 } qw(internal slow_reader);  # a fault of the library; not raised yet
  my @missing = grep { !$internal{$_} && $ends !~ /`\Q$_\E`/ } $body =~ /(\w+)(?: = \d+)?,/g;
  verdict(!@missing, "names every $name", "missing: @missing");
}

# --- links and names of files ---------------------------------------------------------------------
my @broken;
for my $document ($readme, 'CHANGELOG.md', glob 'src/design/*.md') {
  my $folder = $document =~ m{^(.*/)} ? $1 : '';
  my $written = slurp($document) =~ s{^```.*?^```}{}gmsr;
  my $prose = $written =~ s{`[^`\n]*`}{}gr;
  for my $link (map { s/#.*//r } $prose =~ /\]\(([^)]+)\)/g) {
    push @broken, "$document: $link" unless $link =~ /^https?:/ || $link eq '' || -e $folder . $link;
  }
  next if $document eq 'CHANGELOG.md';  # it may name what is gone
  for my $file ($written =~ m{[\s`(]([\w/.-]+/[\w.-]+\.(?:[hi]pp|cpp|sh|py))\b}g,
                 $written =~ m{`(\w+\.(?:[hi]pp|cpp|sh))`}g) {
    push @broken, "$document: $file"
      unless grep { -e "$_$file" } '', $folder, "$include/", "$include/deepseek/", 'tests/support/';
  }
}
verdict(!@broken, 'and the design documents name files that exist', join ', ', @broken);

exit($failed ? 1 : 0);
