/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables in Markdown: what the faults are, each function with each fault, and lists that change. */
#include "table.h"

#include <stdio.h>
#include <string.h>

/* The cells of one function and one fault. */
struct group {
	const struct cell *cells;
	unsigned n_cells;
	enum chaos_call call;
	unsigned fault;
};

static const struct cell *
find(const struct group *group, enum way way)
{
	for (unsigned i = 0; i < group->n_cells; i++) {
		const struct cell *cell = &group->cells[i];
		if (cell->call == group->call && cell->fault == group->fault && cell->way == way)
			return cell;
	}
	return NULL;
}

static void
write_group(FILE *file, const struct group *group)
{
	const char *separator = "";

	if (!find(group, 0)) {
		fprintf(file, " – |");
		return;
	}
	fprintf(file, " ");
	for (enum way way = 0; way < N_WAYS; way++) {
		const struct cell *cell = find(group, way);
		if (!*cell->text)
			continue;
		fprintf(file, "%s%s: %s", separator, way_names[way], cell->text);
		separator = "; ";
	}
	fprintf(file, "%s |", *separator ? "" : "ok");
}

/* By which ways the function is entered, whatever the fault. */
static void
write_entered(FILE *file, struct group group)
{
	const char *separator = " ";

	for (enum way way = 0; way < N_WAYS; way++) {
		bool is_entered = false;
		for (group.fault = 0; group.fault < n_faults; group.fault++) {
			const struct cell *cell = find(&group, way);
			is_entered |= cell && cell->was_reached;
		}
		if (!is_entered)
			continue;
		fprintf(file, "%s%s", separator, way_names[way]);
		separator = ", ";
	}
	fprintf(file, "%s |", *separator == ' ' ? " –" : "");
}

static void
write_legend(FILE *file)
{
	fprintf(file, "| fault | the function |\n|---|---|\n");
	for (unsigned i = 0; i < n_faults; i++) {
		if (!faults[i].is_list)
			fprintf(file, "| %s | %s |\n", faults[i].name, faults[i].what);
	}
	fprintf(file, "\n");
}

static void
write_functions(FILE *file, struct group group)
{
	fprintf(file, "| function | entered by |");
	for (unsigned i = 0; i < n_faults; i++) {
		if (!faults[i].is_list)
			fprintf(file, " %s |", faults[i].name);
	}
	fprintf(file, "\n|---|---|");
	for (unsigned i = 0; i < n_faults; i++) {
		if (!faults[i].is_list)
			fprintf(file, "---|");
	}
	fprintf(file, "\n");
	for (group.call = 0; group.call < CHAOS_N_CALLS; group.call++) {
		group.fault = 0;
		if (!find(&group, 0))
			continue;
		fprintf(file, "| %s |", chaos_call_names[group.call]);
		write_entered(file, group);
		for (group.fault = 0; group.fault < n_faults; group.fault++) {
			if (!faults[group.fault].is_list)
				write_group(file, &group);
		}
		fprintf(file, "\n");
	}
}

static void
write_lists(FILE *file, struct group group)
{
	fprintf(file, "\nLists of slots that are not what they were before:\n\n"
		      "| C_GetSlotList | what happens | |\n|---|---|---|\n");
	group.call = CHAOS_C_GetSlotList;
	for (group.fault = 0; group.fault < n_faults; group.fault++) {
		if (!faults[group.fault].is_list)
			continue;
		fprintf(file, "| %s | %s |", faults[group.fault].name, faults[group.fault].what);
		write_group(file, &group);
		fprintf(file, "\n");
	}
}

void
table_write(const char *path, const struct cell *cells, unsigned n_cells)
{
	struct group group = {.cells = cells, .n_cells = n_cells};
	FILE *file = fopen(path, "w");

	if (!file)
		support_die("%s cannot be written", path);
	write_legend(file);
	write_functions(file, group);
	write_lists(file, group);
	if (fclose(file) != 0)
		support_die("%s cannot be written", path);
}
